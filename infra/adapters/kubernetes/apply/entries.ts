/** Entries of one section that functions publish in the control plane, followed: state first, tombstones too, then every change. */
import type { Bus, Following, Message } from "../../../../bus/bus.ts"
import { bodyText, isDeleted } from "../../../../bus/envelope.ts"
import { decoderOf } from "../../../../bus/kinds/codec.ts"
import { CONTROL_PLANE } from "../../../../bus/kinds/config.ts"
import type { Kind } from "../../../../bus/kinds/kind.ts"
import { encodeToken, parseSubject } from "../../../../bus/subject.ts"

export interface EntriesOptions<T> {
  /** Undefined: it was deleted, in this incarnation of the store. */
  onEntry(id: string, value: T | undefined, message: Message): void
  /** Whether everything stored is known and what comes is heard. */
  onCurrent(isCurrent: boolean): void
  onLost(reason: string): void
  onNote(message: string): void
}

/** Of what cannot be understood the last that could stays. */
export const followEntries = <T>(bus: Bus, kind: Kind<T>, options: EntriesOptions<T>): Pick<Following, "stop"> => new Entries(bus, kind, options)

class Entries<T> {
  readonly #bus: Bus
  readonly #filter: string
  readonly #options: EntriesOptions<T>
  readonly #decode: (value: unknown) => T
  readonly #following: Following
  #isCaughtUp = false
  /** After an absence: what was stored meanwhile, looked for beside. */
  #missed: Following | undefined
  /** Sequence up to which everything has to be heard before it is current again. */
  #until: number | undefined

  constructor(bus: Bus, kind: Kind<T>, options: EntriesOptions<T>) {
    this.#bus = bus
    this.#filter = `config.${encodeToken(CONTROL_PLANE)}.${encodeToken(kind.name)}.>`
    this.#options = options
    this.#decode = decoderOf(kind)
    this.#following = bus.follow({
      stream: "CONFIG", filter: this.#filter, from: "state",
      onMessage: (message) => {
        this.#take(message)
        if (this.#until !== undefined && message.seq >= this.#until) this.#current()
      },
      onCaughtUp: () => {
        this.#isCaughtUp = true
        this.#current()
      },
      onStalled: (isStalled) => {
        if (isStalled) this.#away()
        else if (this.#isCaughtUp) this.#catchUp()
      },
      onLost: (reason) => {
        this.#away()
        options.onLost(reason)
      },
    })
  }

  async stop(): Promise<void> {
    await Promise.all([this.#following.stop(), this.#missed?.stop()])
  }

  #current(): void {
    this.#until = undefined
    this.#options.onCurrent(true)
  }

  #away(): void {
    void this.#missed?.stop()
    this.#missed = undefined
    this.#until = undefined
    if (this.#isCaughtUp) this.#options.onCurrent(false)
  }

  /** Attached again is not caught up: what was said meanwhile is still to come. */
  #catchUp(): void {
    const missed = this.#bus.follow({
      stream: "CONFIG", filter: this.#filter, from: { after: this.#following.seen },
      onMessage: () => undefined,
      onCaughtUp: () => queueMicrotask(() => {
        if (this.#missed !== missed) return
        this.#missed = undefined
        void missed.stop()
        if (this.#following.seen >= missed.seen) this.#current()
        else this.#until = missed.seen
      }),
    })
    this.#missed = missed
  }

  #take(message: Message): void {
    const entry = parseSubject(message.subject)
    if (entry?.is !== "entry") return
    if (isDeleted(message.headers)) return this.#options.onEntry(entry.id, undefined, message)
    const value = this.#understood(bodyText(message.data))
    if (value === undefined) this.#options.onNote(`${entry.section} ${entry.id} is left out: it is not ${entry.section} as this adapter knows it`)
    else this.#options.onEntry(entry.id, value, message)
  }

  #understood(body: string): T | undefined {
    try {
      return this.#decode(JSON.parse(body))
    } catch {
      return undefined
    }
  }
}
