/**
 * The Bus in this process, for tests and offline runs. Same contract as jetstream.ts, and deterministic. A store has
 * several ports, each as if in a process of its own. Whatever would travel over the wire is a step: taken by itself in
 * order of origin, or with `manual` one by one as the test chooses, so that it decides every interleaving.
 */
import { reachesBack } from "./as-of.ts"
import { BusError, type Ack, type Bus, type Follower, type Message, type Outgoing, type StreamInfo, type StreamName } from "./bus.ts"
import { followMemory, type MemoryFollowing } from "./memory-follow.ts"
import { stepper, type Step } from "./memory-steps.ts"
import { LONGEST_SUBJECT, MAX_PAYLOAD, streamOf, streams } from "./streams.ts"
import { subjectMatches } from "./subject.ts"

export type { Step } from "./memory-steps.ts"

export interface StoredStream {
  readonly incarnation: string
  last: number
  /** What is kept, by sequence, in order. */
  readonly messages: Map<number, Message>
  /** Sequences kept of each subject, oldest first. */
  readonly bySubject: Map<string, number[]>
  readonly ids: Map<string, number>
}

/** One port of a store, with what a test may do to it. */
export interface MemoryBus extends Bus {
  /** What is under way to or from the port is lost; publishes reject with "disconnected", followers stall. */
  disconnect(): void
  connect(): void
  /** The process behind the port dies: it hears nothing more, not even an answer; what it has sent still arrives. */
  kill(): void
  /** The next publish rejects with "timeout": its message was stored and its ack lost, or it never arrived. */
  loseNextAck(stored: boolean): void
}

export interface MemoryStore {
  /** `name` labels the port's steps; default: 1, 2, … */
  bus(name?: string): MemoryBus
  /** Every stream empty and of a new incarnation; followers are told, those of disconnected ports when they are back. */
  wipe(): void
  /** Everything kept in a stream, in order. */
  messages(stream: StreamName): readonly Message[]
  /** What could happen next: the first step of each channel (a port's publishes, its acks, each follower, each read). */
  steps(): readonly Step[]
  /** Takes the step at `index` of `steps()`; false when there is none. */
  step(index?: number): boolean
  /** Takes steps, oldest first, until none is left, also those that follow from them. */
  settle(): Promise<void>
}

export interface MemoryOptions {
  /** Message times in ms; default: 1 ms a message from 1, so that runs are equal. */
  readonly now?: () => number
  /** Nothing happens but by `step` and `settle`. */
  readonly manual?: boolean
  /** Whether there are the streams of a history. Default: yes. */
  readonly history?: boolean
}

export const memoryStore = ({ now, manual = false, history = true }: MemoryOptions = {}): MemoryStore => {
  const steps = stepper(manual)
  let generation = 0
  let ticks = 0
  const clock = now ?? (() => ++ticks)
  const empty = (): Map<StreamName, StoredStream> => {
    generation++
    return new Map(Object.keys(streams).filter(isStream).filter((name) => history || streams[name].history !== true).map((name) => [name, { incarnation: `memory-${generation}`, last: 0, messages: new Map(), bySubject: new Map(), ids: new Map() }]))
  }
  let store = empty()
  const followings = new Set<MemoryFollowing>()
  const hints = new Set<{ port: string; filter: string; on: (subject: string, data: string) => void }>()
  let ports = 0
  const streamNamed = (name: StreamName): StoredStream => {
    const stream = store.get(name)
    if (stream === undefined) throw new BusError("no-stream", `stream ${name} does not exist`)
    return stream
  }
  const lastOf = (stream: StoredStream, subject: string): Message | undefined => {
    const seq = stream.bySubject.get(subject)?.at(-1)
    return seq === undefined ? undefined : stream.messages.get(seq)
  }

  /** Stores, drops what exceeds the subject's limit, offers it to the followers. */
  const keep = (name: StreamName, stream: StoredStream, message: Message): void => {
    stream.messages.set(message.seq, message)
    const same = stream.bySubject.get(message.subject) ?? []
    stream.bySubject.set(message.subject, same)
    same.push(message.seq)
    const { perSubject } = (history ? undefined : streams[name].withoutHistory) ?? streams[name]
    const dropped = perSubject > 0 && same.length > perSubject ? same.shift() : undefined
    if (dropped !== undefined) stream.messages.delete(dropped)
    for (const following of followings) if (following.stream === name) following.offer(stream, message)
  }

  const append = (message: Outgoing): Ack => {
    const name = streamOf(message.subject)
    const stream = streamNamed(name)
    const before = message.msgId === undefined ? undefined : stream.ids.get(message.msgId)
    if (before !== undefined) return { seq: before, duplicate: true }
    if (message.subject.length > LONGEST_SUBJECT) throw new BusError("rejected", `a subject of ${message.subject.length} bytes is too long`)
    const data = typeof message.data === "string" ? new TextEncoder().encode(message.data) : message.data.slice()
    if (data.length > MAX_PAYLOAD - 4096) throw new BusError("too-large", `${message.subject}: ${data.length} bytes exceed the limit of ${MAX_PAYLOAD}`)
    if (message.expect !== undefined) {
      const have = lastOf(stream, message.expect.subject ?? message.subject)?.seq ?? 0
      if (have !== message.expect.seq) throw new BusError("conflict", `${message.subject}: expected last sequence ${message.expect.seq}, is ${have}`)
    }
    const stored: Message = { subject: message.subject, seq: ++stream.last, time: clock(), headers: { ...message.headers }, data }
    if (message.msgId !== undefined) stream.ids.set(message.msgId, stored.seq)
    keep(name, stream, stored)
    for (const [target, shape] of Object.entries(streams)) {
      if (!isStream(target) || shape.mirrors !== name || !history) continue
      const copy = streamNamed(target)
      copy.last = stored.seq
      keep(target, copy, stored)
    }
    return { seq: stored.seq, duplicate: false }
  }

  const infoOf = (name: StreamName): StreamInfo => {
    const stream = streamNamed(name)
    const [first] = stream.messages.keys()
    return { incarnation: stream.incarnation, firstSeq: first ?? stream.last + 1, lastSeq: stream.last, messages: stream.messages.size, subjects: stream.bySubject.size }
  }

  const asOf: (...asked: Parameters<Bus["asOf"]>) => Awaited<ReturnType<Bus["asOf"]>> = (name, subjects, upTo) => {
    const stream = streamNamed(name)
    const kept = new Map<string, number>()
    const newest = new Map<string, Message>()
    for (const message of stream.messages.values()) {
      if (!subjects.some((filter) => subjectMatches(filter, message.subject))) continue
      kept.set(message.subject, (kept.get(message.subject) ?? 0) + 1)
      if ("time" in upTo ? message.time <= upTo.time : message.seq <= upTo.seq) newest.set(message.subject, message)
    }
    if (newest.size > 1024) throw new BusError("rejected", "asOf answers with at most 1,024 subjects")
    const { firstSeq } = infoOf(name)
    const complete = reachesBack(streams[name], { asked: subjects, answered: new Set(newest.keys()), kept, firstSeq })
    return { messages: [...newest.values()].sort((a, b) => a.seq - b.seq), complete }
  }

  const openPort = (name = String(++ports)): MemoryBus => {
    const own = new Set<MemoryFollowing>()
    const inFlight = new Set<Promise<unknown>>()
    const fates: boolean[] = []
    let state: "connected" | "disconnected" | "killed" | "closed" = "connected"
    let reads = 0
    const unavailable = (): BusError | undefined => {
      if (state === "closed") return new BusError("closed", "the bus is closed")
      return state === "connected" ? undefined : new BusError("disconnected", "the port is disconnected")
    }

    const publish = (message: Outgoing): Promise<Ack> => {
      const problem = unavailable()
      if (problem !== undefined) return Promise.reject(problem)
      const { promise, resolve, reject } = Promise.withResolvers<Ack>()
      inFlight.add(promise)
      promise.then(() => inFlight.delete(promise), () => inFlight.delete(promise))
      const expire = (): void => { if (state !== "killed") reject(new BusError("timeout", `${message.subject}: no ack`)) }
      const stored = fates.shift()
      const answer = (settle: () => void): void => {
        if (state !== "connected") return expire()
        steps.add({ port: name, what: "ack", subject: message.subject, channel: `${name} acks`, run: stored === undefined ? settle : expire, lose: expire, expire })
      }
      const arrive = (): void => {
        try {
          const ack = append(message)
          answer(() => resolve(ack))
        } catch (error) {
          answer(() => reject(error))
        }
      }
      steps.add({ port: name, what: "publish", subject: message.subject, channel: `${name} publishes`, run: stored === false ? expire : arrive, lose: expire, expire })
      return promise
    }

    const ask = <T>(what: string, answer: () => T): Promise<T> => {
      const problem = unavailable()
      if (problem !== undefined) return Promise.reject(problem)
      const { promise, resolve, reject } = Promise.withResolvers<T>()
      const lose = (): void => reject(new BusError("timeout", `${what}: no answer`))
      const run = (): void => {
        try {
          resolve(answer())
        } catch (error) {
          reject(error)
        }
      }
      steps.add({ port: name, what: "read", subject: what, channel: `${name} read ${++reads}`, run, lose, expire: lose })
      return promise
    }

    const silence = (): void => {
      for (const following of own) {
        following.end()
        followings.delete(following)
      }
      own.clear()
      for (const hint of hints) if (hint.port === name) hints.delete(hint)
    }

    return {
      publish,
      follow: (follower: Follower) => {
        const following = followMemory({
          follower, port: name, steps, stream: () => streamNamed(follower.stream), info: () => infoOf(follower.stream),
          onEnd: () => {
            own.delete(following)
            followings.delete(following)
          },
        })
        own.add(following)
        followings.add(following)
        if (state === "connected") following.attach()
        else following.stall()
        return following
      },
      last: (stream, subject) => ask(subject, () => lastOf(streamNamed(stream), subject)),
      at: (stream, seq) => ask(`${stream} ${seq}`, () => streamNamed(stream).messages.get(seq)),
      asOf: (stream, subjects, upTo) => ask(`${stream} as of`, () => {
        if (subjects.length > 1024) throw new BusError("rejected", "asOf takes at most 1,024 subjects")
        return asOf(stream, subjects, upTo)
      }),
      info: (stream) => ask(`${stream} info`, () => infoOf(stream)),
      purge: (stream, filter, upTo = Number.POSITIVE_INFINITY) => ask(`${stream} purge ${filter}`, () => {
        const { messages, bySubject } = streamNamed(stream)
        for (const [subject, kept] of bySubject) {
          if (!subjectMatches(filter, subject)) continue
          for (const seq of kept) if (seq <= upTo) messages.delete(seq)
          const left = kept.filter((seq) => seq > upTo)
          if (left.length > 0) bySubject.set(subject, left)
          else bySubject.delete(subject)
        }
      }),
      hint: (subject, data) => {
        if (state !== "connected") return
        for (const hint of hints) {
          if (!subjectMatches(hint.filter, subject)) continue
          steps.add({ port: hint.port, what: "hint", subject, channel: `${hint.port} hints`, run: () => { if (hints.has(hint)) hint.on(subject, data) } })
        }
      },
      onHint: (filter, on) => {
        const hint = { port: name, filter, on }
        hints.add(hint)
        return () => hints.delete(hint)
      },
      close: async () => {
        if (state === "connected") await Promise.allSettled(inFlight)
        state = "closed"
        silence()
      },
      disconnect: () => {
        if (state !== "connected") return
        state = "disconnected"
        for (const step of steps.drop(name)) step.lose?.()
        for (const following of own) following.stall()
      },
      connect: () => {
        if (state !== "disconnected") return
        state = "connected"
        for (const following of own) following.attach()
      },
      kill: () => {
        state = "killed"
        steps.drop(name, (step) => step.what !== "publish")
        silence()
      },
      loseNextAck: (stored) => fates.push(stored),
    }
  }

  return {
    bus: openPort,
    wipe: () => {
      store = empty()
      for (const following of followings) following.wiped()
    },
    messages: (stream) => [...streamNamed(stream).messages.values()],
    steps: steps.heads,
    step: (index = 0) => {
      const step = steps.heads()[index]
      step?.run()
      return step !== undefined
    },
    settle: async () => {
      // A macrotask between rounds: whatever the last ones' promises lead to has been said by then.
      do {
        for (let step = steps.heads()[0]; step !== undefined; step = steps.heads()[0]) step.run()
        await new Promise((resolve) => setImmediate(resolve))
      } while (steps.heads().length > 0)
    },
  }
}

const isStream = (name: string): name is StreamName => Object.hasOwn(streams, name)
