/** Entries of one section that functions publish in the control plane, followed: state first, tombstones too, then every change. */
import type { Bus, Following, Message } from "../../../../bus/bus.ts"
import { bodyText, isDeleted } from "../../../../bus/envelope.ts"
import { decoderOf } from "../../../../bus/kinds/codec.ts"
import { CONTROL_PLANE } from "../../../../bus/kinds/config.ts"
import type { Kind } from "../../../../bus/kinds/kind.ts"
import { encodeToken, parseSubject } from "../../../../bus/subject.ts"

export interface EntriesOptions<T> {
  /** Undefined: it was deleted, in this incarnation of the store. */
  onEntry(id: string, value: T | undefined): void
  /** Whether everything stored is known and what comes is heard. */
  onCurrent(isCurrent: boolean): void
  onLost(reason: string): void
  onNote(message: string): void
}

/** Of what cannot be understood the last that could stays. */
export const followEntries = <T>(bus: Bus, kind: Kind<T>, { onEntry, onCurrent, onLost, onNote }: EntriesOptions<T>): Following => {
  const decode = decoderOf(kind)
  let isCaughtUp = false
  const take = (message: Message): void => {
    const entry = parseSubject(message.subject)
    if (entry?.is !== "entry") return
    if (isDeleted(message.headers)) return onEntry(entry.id, undefined)
    let value: T
    try {
      value = decode(JSON.parse(bodyText(message.data)))
    } catch {
      return onNote(`${entry.section} ${entry.id} is left out: it is not ${entry.section} as this adapter knows it`)
    }
    onEntry(entry.id, value)
  }
  return bus.follow({
    stream: "CONFIG",
    filter: `config.${encodeToken(CONTROL_PLANE)}.${encodeToken(kind.name)}.>`,
    from: "state",
    onMessage: take,
    onCaughtUp: () => {
      isCaughtUp = true
      onCurrent(true)
    },
    onStalled: (isStalled) => {
      if (isCaughtUp) onCurrent(!isStalled)
    },
    onLost: (reason) => {
      onCurrent(false)
      onLost(reason)
    },
  })
}
