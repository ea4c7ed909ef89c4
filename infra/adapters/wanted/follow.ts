/** What functions want to see (kind `wanted`), followed in the control plane's part of CONFIG. */
import type { Bus } from "../../../bus/bus.ts"
import { decoderOf } from "../../../bus/kinds/codec.ts"
import { CONTROL_PLANE, kinds, type Wanted } from "../../../bus/kinds/config.ts"
import { encodeToken, parseSubject } from "../../../bus/subject.ts"
import { readUnits } from "../../../bus/unit/reader.ts"
import type { UnitChange } from "../../../bus/unit/unit.ts"
import { isMoment } from "./moments.ts"
import type { WantedSecrets } from "./secrets.ts"

export interface Wants {
  readonly secrets: WantedSecrets
  readonly moments: ReadonlySet<string>
}

export interface FollowWantedOptions {
  /** Everything wanted: once at first, then after each change. */
  onWants(wants: Wants): void
  onLost(reason: string): void
  /** Something cannot be understood and is left out. */
  onNote(message: string): void
}

export interface FollowingWanted {
  /** Resolves after the first `onWants`, or at `stop`. */
  readonly ready: Promise<void>
  stop(): Promise<void>
}

const decode = decoderOf(kinds.wanted)

export const followWanted = (bus: Bus, { onWants, onLost, onNote }: FollowWantedOptions): FollowingWanted => {
  const bySubject = new Map<string, Wanted>()
  const ready = Promise.withResolvers<void>()
  let isReady = false
  const take = ({ rows }: UnitChange): void => {
    let changed = false
    for (const [subject, body] of rows) {
      const entry = parseSubject(subject)
      if (entry?.is !== "entry" || entry.section !== kinds.wanted.name) continue
      changed = true
      bySubject.delete(subject)
      if (body === null) continue
      const wanted = understood(body)
      if (wanted === undefined) onNote(`${entry.section} ${entry.id} is left out: it is not ${entry.section} as this adapter knows it`)
      else bySubject.set(subject, wanted)
    }
    if (changed && isReady) onWants(wantsOf(bySubject.values()))
  }
  const reader = readUnits(bus, {
    filter: `config.${encodeToken(CONTROL_PLANE)}.>`,
    onChange: take,
    onCaughtUp: () => {
      isReady = true
      onWants(wantsOf(bySubject.values()))
      ready.resolve()
    },
    onLost,
    onNote: (_reason, message) => onNote(message),
  })
  return {
    ready: ready.promise,
    stop: () => {
      ready.resolve()
      return reader.stop()
    },
  }
}

const understood = (body: string): Wanted | undefined => {
  try {
    const wanted = decode(JSON.parse(body))
    return wanted.moment === undefined || isMoment(wanted.moment) ? wanted : undefined
  } catch {
    return undefined
  }
}

/** Several functions may want the same. */
export const wantsOf = (all: Iterable<Wanted>): Wants => {
  const secrets = new Map<string, Set<string>>()
  const moments = new Set<string>()
  for (const { secret, moment } of all) {
    if (moment !== undefined) moments.add(moment)
    if (secret === undefined) continue
    const key = `${secret.namespace}/${secret.name}`
    secrets.set(key, (secrets.get(key) ?? new Set()).add(secret.plane))
  }
  return { secrets, moments }
}
