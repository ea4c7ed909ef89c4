/**
 * The Bus in this process, for tests and offline runs. Same contract as jetstream.ts, deterministic; a store has
 * several ports, each of which a test can disconnect, or freeze to let messages through one by one.
 */
import { BusError, type Ack, type Bus, type Follower, type Following, type Message, type Outgoing, type StreamInfo, type StreamName } from "./bus.ts"
import { MAX_PAYLOAD, streamOf, streams } from "./streams.ts"
import { subjectMatches } from "./subject.ts"

interface Stored {
  incarnation: string
  last: number
  messages: Message[]
  /** Kept messages of each subject, oldest first. */
  bySubject: Map<string, Message[]>
  ids: Map<string, number>
}

/** One port of a store, with what a test may do to it. */
export interface MemoryBus extends Bus {
  /** Publishes reject with "disconnected", followers stall. */
  disconnect(): void
  connect(): void
  /** Stored, or not, but never acked: the next publish rejects with "timeout". */
  loseNextAck(stored: boolean): void
}

export interface MemoryStore {
  bus(): MemoryBus
  /** Every stream empty and of a new incarnation; connected followers are told. */
  wipe(): void
  /** Everything kept in a stream, in order. */
  messages(stream: StreamName): readonly Message[]
}

/** `now` gives message times in ms; default: 1 ms a message from 0, so that runs are equal. */
export const memoryStore = ({ now }: { now?: () => number } = {}): MemoryStore => {
  let generation = 0
  let ticks = 0
  const clock = now ?? (() => ++ticks)
  const empty = (): Map<StreamName, Stored> => {
    generation++
    return new Map([...Object.keys(streams)].filter(isStream).map((name) => [name, { incarnation: `memory-${generation}`, last: 0, messages: [], bySubject: new Map(), ids: new Map() }]))
  }
  let store = empty()
  const ports = new Set<{ deliver(stream: StreamName, message: Message): void; lost(): void }>()
  const streamNamed = (name: StreamName): Stored => {
    const stream = store.get(name)
    if (stream === undefined) throw new BusError("no-stream", `stream ${name} does not exist`)
    return stream
  }
  const lastOf = (stream: Stored, subject: string): Message | undefined => stream.bySubject.get(subject)?.at(-1)

  /** Stores, drops what exceeds the subject's limit, delivers. */
  const keep = (name: StreamName, stream: Stored, message: Message): Message => {
    stream.messages.push(message)
    const same = stream.bySubject.get(message.subject) ?? []
    stream.bySubject.set(message.subject, same)
    same.push(message)
    const { perSubject } = streams[name]
    const dropped = perSubject > 0 && same.length > perSubject ? same.shift() : undefined
    if (dropped !== undefined) stream.messages.splice(stream.messages.indexOf(dropped), 1)
    for (const port of ports) port.deliver(name, message)
    return message
  }

  const append = (message: Outgoing): Ack => {
    const name = streamOf(message.subject)
    const stream = streamNamed(name)
    const before = message.msgId === undefined ? undefined : stream.ids.get(message.msgId)
    if (before !== undefined) return { seq: before, duplicate: true }
    const data = typeof message.data === "string" ? new TextEncoder().encode(message.data) : message.data.slice()
    if (data.length > MAX_PAYLOAD - 4096) throw new BusError("too-large", `${message.subject}: ${data.length} bytes exceed the limit of ${MAX_PAYLOAD}`)
    if (message.expect !== undefined) {
      const have = lastOf(stream, message.expect.subject ?? message.subject)?.seq ?? 0
      if (have !== message.expect.seq) throw new BusError("conflict", `${message.subject}: expected last sequence ${message.expect.seq}, is ${have}`)
    }
    const stored = keep(name, stream, { subject: message.subject, seq: ++stream.last, time: clock(), headers: { ...message.headers }, data })
    if (message.msgId !== undefined) stream.ids.set(message.msgId, stored.seq)
    for (const [target, shape] of Object.entries(streams)) {
      if (!isStream(target) || shape.sources?.includes(name) !== true) continue
      const copy = streamNamed(target)
      keep(target, copy, { ...stored, seq: ++copy.last })
    }
    return { seq: stored.seq, duplicate: false }
  }

  const infoOf = (name: StreamName): StreamInfo => {
    const stream = streamNamed(name)
    return { incarnation: stream.incarnation, firstSeq: stream.messages[0]?.seq ?? stream.last + 1, lastSeq: stream.last, messages: stream.messages.length }
  }

  const openPort = (): MemoryBus => {
    const followings = new Set<{ attach(): void; offer(stream: StreamName, message: Message): void; stall(): void; lose(): void }>()
    const hints = new Set<{ filter: string; on: (subject: string, data: string) => void }>()
    let connected = true
    let closed = false
    const acksToLose: boolean[] = []
    const whenConnected = (): void => {
      if (closed) throw new BusError("closed", "the bus is closed")
      if (!connected) throw new BusError("disconnected", "the port is disconnected")
    }
    const port = {
      deliver: (stream: StreamName, message: Message) => { if (connected) for (const following of followings) following.offer(stream, message) },
      lost: () => { if (connected) for (const following of followings) following.lose() },
    }
    ports.add(port)
    const bus: MemoryBus = {
      publish: async (message) => {
        whenConnected()
        const lose = acksToLose.shift()
        if (lose === false) throw new BusError("timeout", `${message.subject}: no ack`)
        const ack = append(message)
        if (lose === true) throw new BusError("timeout", `${message.subject}: no ack`)
        return ack
      },
      follow: (follower) => {
        const following = followMemory(follower, () => streamNamed(follower.stream), () => infoOf(follower.stream), () => connected, () => followings.delete(following))
        followings.add(following)
        if (connected) following.attach()
        return following
      },
      last: async (stream, subject) => (whenConnected(), lastOf(streamNamed(stream), subject)),
      at: async (stream, seq) => (whenConnected(), streamNamed(stream).messages.find((message) => message.seq === seq)),
      asOf: async (name, subjects, upTo) => {
        whenConnected()
        if (subjects.length > 1024) throw new BusError("rejected", "asOf answers at most 1,024 subjects")
        const inTime = (message: Message): boolean => ("time" in upTo ? message.time <= upTo.time : message.seq <= upTo.seq)
        const newest = new Map<string, Message>()
        const counts = new Map<string, number>()
        for (const message of streamNamed(name).messages.filter((kept) => subjects.some((filter) => subjectMatches(filter, kept.subject)))) {
          counts.set(message.subject, (counts.get(message.subject) ?? 0) + 1)
          if (inTime(message)) newest.set(message.subject, message)
        }
        const complete = [...counts].every(([subject, count]) => newest.has(subject) || count < streams[name].perSubject)
        return { messages: [...newest.values()], complete }
      },
      info: async (stream) => (whenConnected(), infoOf(stream)),
      purge: async (name, filter, upTo = Number.POSITIVE_INFINITY) => {
        whenConnected()
        const stream = streamNamed(name)
        const stays = (message: Message): boolean => message.seq > upTo || !subjectMatches(filter, message.subject)
        stream.messages = stream.messages.filter(stays)
        for (const [subject, kept] of stream.bySubject) stream.bySubject.set(subject, kept.filter(stays))
      },
      hint: (subject, data) => { for (const hint of hints) if (subjectMatches(hint.filter, subject)) hint.on(subject, data) },
      onHint: (filter, on) => {
        const hint = { filter, on }
        hints.add(hint)
        return () => hints.delete(hint)
      },
      close: async () => {
        closed = true
        followings.clear()
        ports.delete(port)
      },
      disconnect: () => {
        connected = false
        for (const following of followings) following.stall()
      },
      connect: () => {
        connected = true
        for (const following of followings) following.attach()
      },
      loseNextAck: (stored) => acksToLose.push(stored),
    }
    return bus
  }

  return {
    bus: openPort,
    wipe: () => {
      store = empty()
      for (const port of ports) port.lost()
    },
    messages: (stream) => streamNamed(stream).messages,
  }
}

const isStream = (name: string): name is StreamName => Object.hasOwn(streams, name)

const followMemory = (follower: Follower, stream: () => Stored, info: () => StreamInfo, connected: () => boolean, forget: () => void) => {
  let seen = follower.from === "state" ? 0 : follower.from.after
  let incarnation: string | undefined
  let caughtUp = false
  let ended = false
  let stalled = false
  let queue: Message[] = []
  let scheduled = false
  const deliver = (): void => {
    scheduled = false
    for (const message of queue.splice(0)) {
      if (ended || message.seq <= seen) continue
      seen = message.seq
      follower.onMessage(message)
    }
    if (!caughtUp && !ended) {
      caughtUp = true
      follower.onCaughtUp?.(info())
    }
  }
  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    queueMicrotask(() => { if (connected()) deliver(); else scheduled = false })
  }
  const following: Following & { attach(): void; offer(stream: StreamName, message: Message): void; stall(): void; lose(): void } = {
    get seen() {
      return seen
    },
    attach: () => {
      const { incarnation: now, messages } = stream()
      if (incarnation !== undefined && incarnation !== now) return following.lose()
      incarnation = now
      const wanted = messages.filter((message) => message.seq > seen && subjectMatches(follower.filter, message.subject))
      queue = follower.from === "state" && !caughtUp ? [...new Map(wanted.map((message) => [message.subject, message])).values()].sort((a, b) => a.seq - b.seq) : wanted
      if (stalled) {
        stalled = false
        follower.onStalled?.(false)
      }
      schedule()
    },
    offer: (name, message) => {
      if (ended || name !== follower.stream || !subjectMatches(follower.filter, message.subject)) return
      queue.push(message)
      schedule()
    },
    stall: () => {
      stalled = true
      queue = []
      follower.onStalled?.(true)
    },
    lose: () => {
      if (ended) return
      ended = true
      forget()
      follower.onLost?.("recreated")
    },
    stop: async () => {
      ended = true
      forget()
    },
  }
  return following
}
