/**
 * One process's connection to a shared store, with every message let through one at a time: what is sent waits, what
 * is answered waits, each follower has a queue of its own; requests and answers can be lost, or arrive late.
 */
import { BusError, type Bus, type Follower, type Following } from "../../bus.ts"
import type { Clock } from "../unit.ts"

interface Request {
  /** What is asked, and of which subject. */
  readonly about: string
  readonly run: () => Promise<unknown>
  readonly answer: (value: unknown) => void
  readonly fail: (error: unknown) => void
}

interface Lane {
  readonly follower: Follower
  readonly queue: (() => void)[]
  inner: Following | undefined
  isStopped: boolean
}

interface Timer {
  readonly due: number
  readonly run: () => void
}

export class Wire {
  readonly requests: Request[] = []
  readonly answers: { readonly give: () => void; readonly fail: (error: unknown) => void }[] = []
  readonly lanes: Lane[] = []
  /** Sent, and neither answered nor known lost: may still arrive. */
  readonly adrift: (() => Promise<unknown>)[] = []
  readonly timers: Timer[] = []
  isDead = false
  isConnected = true
  now = 0
  readonly #inner: Bus
  readonly #chance: () => number

  constructor(inner: Bus, chance: () => number) {
    this.#inner = inner
    this.#chance = chance
  }

  readonly clock: Clock = {
    monotonic: () => this.now,
    wall: () => this.now,
    random: () => this.#chance(),
    after: (ms, run) => {
      const timer = { due: this.now + ms, run }
      this.timers.push(timer)
      return () => {
        const at = this.timers.indexOf(timer)
        if (at >= 0) this.timers.splice(at, 1)
      }
    },
  }

  #request<T>(about: string, run: () => Promise<T>): Promise<T> {
    if (this.isDead) return new Promise(() => undefined)
    if (!this.isConnected) return Promise.reject(new BusError("disconnected", "not connected"))
    return new Promise<T>((resolve, reject) => {
      let value: T
      this.requests.push({ about, run: async () => (value = await run()), answer: () => resolve(value), fail: reject })
    })
  }

  readonly bus: Bus = {
    publish: (message) => this.#request(`publish ${message.subject}`, () => this.#inner.publish(message)),
    last: (stream, subject) => this.#request(`last ${subject}`, () => this.#inner.last(stream, subject)),
    at: (stream, seq) => this.#request(`at ${seq}`, () => this.#inner.at(stream, seq)),
    asOf: (stream, subjects, upTo) => this.#request("asOf", () => this.#inner.asOf(stream, subjects, upTo)),
    info: (stream) => this.#request(`info ${stream}`, () => this.#inner.info(stream)),
    purge: (stream, filter, upTo) => this.#request(`purge ${filter}`, () => this.#inner.purge(stream, filter, upTo)),
    follow: (follower) => this.#follow(follower),
    hint: () => undefined,
    onHint: () => () => undefined,
    close: async () => undefined,
  }

  #follow(follower: Follower): Following {
    const lane: Lane = { follower, queue: [], inner: undefined, isStopped: false }
    if (!this.isDead) this.lanes.push(lane)
    return {
      get seen() {
        return lane.inner?.seen ?? 0
      },
      stop: async () => {
        lane.isStopped = true
        this.#forget(lane)
      },
    }
  }

  #forget(lane: Lane): void {
    const at = this.lanes.indexOf(lane)
    if (at >= 0) this.lanes.splice(at, 1)
    void lane.inner?.stop()
  }

  attach(lane: Lane): void {
    const { follower, queue } = lane
    lane.inner = this.#inner.follow({
      stream: follower.stream, filter: follower.filter, from: follower.from,
      onMessage: (message) => queue.push(() => follower.onMessage(message)),
      onCaughtUp: (info) => queue.push(() => follower.onCaughtUp?.(info)),
    })
  }

  /** The oldest request reaches the store. */
  serve(): void {
    const request = this.requests.shift()
    if (request === undefined) return
    request.run().then(
      (value) => this.answers.push({ give: () => request.answer(value), fail: request.fail }),
      (error: unknown) => this.answers.push({ give: () => request.fail(error), fail: request.fail }),
    )
  }

  /** The oldest request is not answered in time: lost, or still on its way. */
  delayRequest(): void {
    const request = this.requests.shift()
    if (request === undefined) return
    this.adrift.push(request.run)
    request.fail(new BusError("timeout", "no answer"))
  }

  give(): void {
    this.answers.shift()?.give()
  }

  loseAnswer(): void {
    this.answers.shift()?.fail(new BusError("timeout", "no answer"))
  }

  fire(): void {
    const timer = this.#nextTimer()
    if (timer === undefined) return
    this.timers.splice(this.timers.indexOf(timer), 1)
    this.now = Math.max(this.now, timer.due)
    timer.run()
  }

  #nextTimer(): Timer | undefined {
    return this.timers.reduce<Timer | undefined>((first, timer) => (first === undefined || timer.due < first.due ? timer : first), undefined)
  }

  /** When the next timer is due. */
  get due(): number | undefined {
    return this.#nextTimer()?.due
  }

  /** kill -9: what was sent may still arrive, nothing else happens here any more. */
  die(): void {
    this.isDead = true
    this.adrift.push(...this.requests.splice(0).map(({ run }) => run))
    this.answers.length = 0
    this.timers.length = 0
    for (const lane of [...this.lanes]) this.#forget(lane)
  }

  /** The server goes away with everything on the way to and from it. */
  disconnect(): void {
    this.isConnected = false
    this.adrift.length = 0
    const open = [...this.requests.splice(0).map(({ fail }) => fail), ...this.answers.splice(0).map(({ fail }) => fail)]
    for (const fail of open) fail(new BusError("disconnected", "the connection broke"))
    for (const lane of this.lanes) lane.queue.length = 0
  }

  /** The connection breaks and nothing is lost but answers: what was stored stays, what comes is delivered later. */
  interrupt(): void {
    this.isConnected = false
    this.adrift.push(...this.requests.map(({ run }) => run))
    const open = [...this.requests.splice(0).map(({ fail }) => fail), ...this.answers.splice(0).map(({ fail }) => fail)]
    for (const fail of open) fail(new BusError("disconnected", "the connection broke"))
    for (const { follower } of [...this.lanes]) follower.onStalled?.(true)
  }

  resume(): void {
    this.isConnected = true
    for (const { follower } of [...this.lanes]) follower.onStalled?.(false)
  }

  /** Back, at a store made anew: followers notice before anything else is sent. */
  reconnectToNewStore(): void {
    this.isConnected = true
    for (const lane of [...this.lanes]) {
      if (lane.inner === undefined) continue
      this.#forget(lane)
      lane.follower.onLost?.("recreated")
    }
  }
}
