/**
 * Who may write the units of one function: a record on LEASES, changed only by compare-and-swap. The sequence of
 * the acquisition is the epoch. A lease makes two writers unlikely, not impossible (a process may be frozen while it
 * holds one): the commits' own fences make a stale writer harmless.
 */
import { BusError, type Bus, type Message } from "../bus.ts"
import { leaseSubject } from "../subject.ts"
import { systemClock } from "./clock.ts"
import { acquisition, epochOf, fenceOf, readRecord, type LeaseRecord } from "./lease-record.ts"
import { retried } from "./retry.ts"
import type { Clock } from "./unit.ts"

const TTL = 5000

export interface LeaseOptions {
  readonly name: string
  /** Who asks. The same holder gets its lease back at once: the process before must be dead (one supervisor). */
  readonly holder: string
  /** Without a renewal for this long, as seen from here while connected, a lease is free. ms, default 5,000. */
  readonly ttl?: number
  /** The epoch will be higher than this: see HigherEpochError. */
  readonly above?: number
  readonly signal?: AbortSignal
  /** Once for each holder that has it. */
  onWaiting?(holder: string): void
  /** Once: somebody else holds it, or the store was lost. Stop writing. */
  onLost(reason: "taken" | "store-lost", message: string): void
  readonly clock?: Clock
}

export interface Lease {
  readonly epoch: number
  /** For UnitWriterOptions.fence: the epoch at which a lease that nobody gave back was last taken over, or 0. */
  readonly fence: number
  /** Stops renewing and lets the next one in at once. */
  release(): Promise<void>
}

/** Resolves when held. Rejects when the signal fires, and with BusError "no-stream" or "closed". */
export const acquireLease = async (bus: Bus, options: LeaseOptions): Promise<Lease> => {
  const { name, holder, above = 0, signal, clock = systemClock } = options
  let waitingFor: string | undefined
  const onHeld = (by: string): void => {
    if (waitingFor !== by) options.onWaiting?.((waitingFor = by))
  }
  return retried(clock, signal, async () => {
    const { last, hasExpired } = await untilFree(bus, options, onHeld)
    signal?.throwIfAborted()
    const record = acquisition(holder, above, last, hasExpired)
    const seq = await store(bus, leaseSubject(name), record, last?.seq ?? 0)
    return seq === undefined ? undefined : new Held(bus, options, record, seq, options.ttl ?? TTL, clock)
  })
}

/** Waits while another holder renews it. The record last seen; `hasExpired`: its holder has not given it back. */
const untilFree = async (bus: Bus, { name, holder, ttl = TTL, signal, clock = systemClock }: LeaseOptions, onHeld: (by: string) => void): Promise<{ readonly last: Message | undefined; readonly hasExpired: boolean }> => {
  const subject = leaseSubject(name)
  let last = await bus.last("LEASES", subject)
  for (;;) {
    const held = last && readRecord(last)
    if (last === undefined || held === undefined || held.released || held.holder === holder) return { last, hasExpired: false }
    onHeld(held.holder)
    const next = await nextRenewal(bus, subject, last.seq, ttl, clock, signal)
    if (next === undefined) return { last, hasExpired: true }
    last = next
  }
}

/** The sequence it was stored at, or undefined when somebody else came first. Rejects while that cannot be known. */
const store = async (bus: Bus, subject: string, record: LeaseRecord, after: number): Promise<number | undefined> => {
  try {
    return (await bus.publish({ subject, data: JSON.stringify(record), expect: { seq: after } })).seq
  } catch (error) {
    if (!(error instanceof BusError) || (error.reason !== "conflict" && error.reason !== "timeout")) throw error
    // A lost ack looks like either.
    const last = await bus.last("LEASES", subject)
    return last !== undefined && last.seq > after && readRecord(last)?.session === record.session ? last.seq : undefined
  }
}

/** The next change of the lease, or undefined after `ttl` without one. While the server is away no time passes. */
const nextRenewal = (bus: Bus, subject: string, after: number, ttl: number, clock: Clock, signal?: AbortSignal): Promise<Message | undefined> =>
  new Promise((resolve, reject) => {
    let cancel = clock.after(ttl, () => finish(() => resolve(undefined)))
    let done = false
    const finish = (result: () => void): void => {
      if (done) return
      done = true
      cancel()
      signal?.removeEventListener("abort", abort)
      queueMicrotask(() => void following.stop())
      result()
    }
    const abort = (): void => finish(() => resolve(undefined))
    signal?.addEventListener("abort", abort)
    const following = bus.follow({
      stream: "LEASES", filter: subject, from: { after },
      onMessage: (message) => finish(() => resolve(message)),
      onLost: (reason) => finish(() => reject(new BusError("no-stream", `LEASES was lost: ${reason}`))),
      onStalled: (stalled) => {
        cancel()
        if (!stalled && !done) cancel = clock.after(ttl, () => finish(() => resolve(undefined)))
      },
    })
  })

class Held implements Lease {
  readonly epoch: number
  readonly fence: number
  readonly #bus: Bus
  readonly #options: LeaseOptions
  readonly #record: LeaseRecord
  readonly #every: number
  readonly #clock: Clock
  #seq: number
  #over = false
  #cancel: () => void
  #renewing: Promise<void> = Promise.resolve()

  constructor(bus: Bus, options: LeaseOptions, acquired: LeaseRecord, seq: number, ttl: number, clock: Clock) {
    this.epoch = epochOf(acquired, seq)
    this.fence = fenceOf(acquired, seq)
    this.#bus = bus
    this.#options = options
    this.#record = { ...acquired, epoch: this.epoch, fence: this.fence }
    this.#every = ttl / 3
    this.#clock = clock
    this.#seq = seq
    this.#cancel = this.#schedule(this.#every)
  }

  #schedule(ms: number): () => void {
    return this.#clock.after(ms, () => { this.#renewing = this.#renew() })
  }

  async #renew(): Promise<void> {
    let wait = this.#every
    try {
      const seq = await store(this.#bus, leaseSubject(this.#options.name), this.#record, this.#seq)
      if (seq !== undefined) this.#seq = seq
      else if (!this.#over) wait = await this.#refused()
    } catch (error) {
      if (!(error instanceof BusError)) throw error
      if (error.reason === "no-stream" && (await this.#hasNoStream())) this.#lose("store-lost", error.message)
      else if (error.reason === "closed") this.#over = true
      // While the server is away nobody else can take the lease either.
      wait = Math.min(this.#every, 200)
    }
    if (!this.#over) this.#cancel = this.#schedule(wait)
  }

  /** A server that stores nothing at the moment, as its disk is full, has nobody either who takes a message; its streams are still there. */
  #hasNoStream(): Promise<boolean> {
    return this.#bus.info("LEASES").then(() => false, (error: unknown) => error instanceof BusError && error.reason === "no-stream")
  }

  async #refused(): Promise<number> {
    const { name } = this.#options
    const last = await this.#bus.last("LEASES", leaseSubject(name))
    const record = last && readRecord(last)
    if (last === undefined || last.seq < this.#seq) this.#lose("store-lost", `the record of lease ${name} is gone`)
    else if (record?.session !== this.#record.session) this.#lose("taken", `lease ${name} is held by ${record?.holder ?? "somebody else"}`)
    else this.#seq = last.seq
    return 0
  }

  #lose(reason: "taken" | "store-lost", message: string): void {
    if (this.#over) return
    this.#over = true
    this.#options.onLost(reason, message)
  }

  async release(): Promise<void> {
    this.#cancel()
    await this.#renewing
    this.#cancel()
    if (this.#over) return
    this.#over = true
    // Whether it arrives or not: who waits gets it after the ttl.
    await store(this.#bus, leaseSubject(this.#options.name), { ...this.#record, released: true }, this.#seq).catch(() => undefined)
  }
}
