/** What functions want to see (kind `wanted`), followed in the control plane's part of CONFIG. */
import type { Bus, Message } from "../../../bus/bus.ts"
import { bodyText, isDeleted } from "../../../bus/envelope.ts"
import { decoderOf } from "../../../bus/kinds/codec.ts"
import { CONTROL_PLANE, kinds, type Wanted } from "../../../bus/kinds/config.ts"
import { encodeToken, parseSubject } from "../../../bus/subject.ts"
import { isMoment } from "./moments.ts"
import type { WantedSecrets } from "./secrets.ts"

export interface Wants {
  readonly secrets: WantedSecrets
  readonly moments: ReadonlySet<string>
}

export interface FollowWantedOptions {
  /** Everything wanted: once at first, then after changes. */
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

/**
 * Entries, not commits: what is wanted need not be seen all at once, and the units it is in hold a status for every
 * object there is. An entry follows its commit, from a writer that is fenced.
 */
export const followWanted = (bus: Bus, { onWants, onLost, onNote }: FollowWantedOptions): FollowingWanted => {
  const bySubject = new Map<string, Wanted>()
  const ready = Promise.withResolvers<void>()
  let isReady = false
  let soon: NodeJS.Immediate | undefined
  const tell = (): void => {
    soon = undefined
    onWants(wantsOf(bySubject.values()))
  }
  const take = (message: Message): void => {
    const entry = parseSubject(message.subject)
    if (entry?.is !== "entry") return
    bySubject.delete(message.subject)
    if (isDeleted(message.headers)) return
    const wanted = understood(bodyText(message.data))
    if (wanted === undefined) onNote(`${entry.section} ${entry.id} is left out: it is not ${entry.section} as this adapter knows it`)
    else bySubject.set(message.subject, wanted)
  }
  const following = bus.follow({
    stream: "CONFIG",
    filter: `config.${encodeToken(CONTROL_PLANE)}.${encodeToken(kinds.wanted.name)}.>`,
    from: "state",
    onMessage: (message) => {
      take(message)
      // What one commit wants comes together.
      if (isReady) soon ??= setImmediate(tell)
    },
    onCaughtUp: () => {
      isReady = true
      tell()
      ready.resolve()
    },
    onLost,
  })
  return {
    ready: ready.promise,
    stop: () => {
      clearImmediate(soon)
      ready.resolve()
      return following.stop()
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
