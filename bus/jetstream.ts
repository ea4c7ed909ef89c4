/** The Bus on NATS JetStream: with jetstream-follow.ts and jetstream-publish.ts all that imports NATS. */
import { DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType, jetstreamManager, type JetStreamManager, type StreamConfig, type StreamInfo as ServerStreamInfo } from "@nats-io/jetstream"
import { connect, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node"
import { reachesBack } from "./as-of.ts"
import { BusError, type Bus, type BusErrorReason, type Follower, type Message, type StreamInfo, type StreamName } from "./bus.ts"
import { followJetStream, type Attached } from "./jetstream-follow.ts"
import { plainHeaders } from "./jetstream-headers.ts"
import { publisher } from "./jetstream-publish.ts"
import { streams } from "./streams.ts"

export interface ConnectOptions {
  readonly url: string
  /** Shown in the server's connection list. */
  readonly name: string
  /** How long to wait for the first connection, ms. Default 10,000. */
  readonly timeout?: number
  /** Gives up connecting. */
  readonly signal?: AbortSignal
  /** Whether a store that is made now keeps a history; one that is there goes on as it was made. Default: unless HEADGATE_HISTORY is `off`. */
  readonly history?: boolean
}

const CLOSE_PATIENCE = 1000
const MINIMUM = [2, 11] as const

/** Connects and ensures the streams. Rejects with BusError: unreachable in time, a server older than 2.11, or one without JetStream. */
export const connectBus = async ({ url, name, timeout = 10_000, signal, history = process.env["HEADGATE_HISTORY"] !== "off" }: ConnectOptions): Promise<Bus> => {
  const connection = await connectWithin(url, name, timeout, signal)
  try {
    const version = connection.info?.version ?? "0.0.0"
    const [major = 0, minor = 0] = version.split(".").map(Number)
    if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) throw new BusError("rejected", `nats-server ${version} at ${url} is too old: 2.11 or newer is needed`)
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 5000 })
    await read(`streams of ${url}`, () => ensureStreams(manager, history))
    signal?.throwIfAborted()
    return jetstreamBus(connection, manager, history)
  } catch (error) {
    await connection.close()
    throw error
  }
}

const connectWithin = async (url: string, name: string, timeout: number, signal: AbortSignal | undefined): Promise<NatsConnection> => {
  const deadline = performance.now() + timeout
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await connect({
        servers: url, name, timeout: 2000, maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 100, pingInterval: 20_000, ignoreAuthErrorAbort: true,
      })
    } catch (error) {
      if (performance.now() > deadline) throw new BusError("disconnected", `no nats-server at ${url}: ${String(error)}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** Metadata of a mirror: the incarnation of the stream it copies. */
const MIRRORED = "headgate-mirrored"
/** Metadata of RESOURCES in a store without a history: `off`. */
const HISTORY_KEPT = "headgate-history"

/** Creates what is missing and brings limits up to date. Safe when several processes do it at once. */
const ensureStreams = async (manager: JetStreamManager, history: boolean): Promise<void> => {
  /** By name: when it was made, which names its incarnation. */
  const incarnations = new Map<string, string>()
  let isKept = history
  for (const [name, shape] of Object.entries(streams)) {
    if (shape.history === true && !isKept) continue
    const limits = (isKept ? undefined : shape.withoutHistory) ?? shape
    const mirrored = shape.mirrors === undefined ? undefined : incarnations.get(shape.mirrors)
    const config = {
      name,
      ...(shape.mirrors === undefined ? { subjects: [...shape.subjects] } : { mirror: { name: shape.mirrors } }),
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_msgs_per_subject: limits.perSubject,
      max_age: (limits.maxAgeMs ?? 0) * 1_000_000,
      max_bytes: shape.maxBytes ?? -1,
      ...(shape.mirrors === undefined ? { duplicate_window: 120_000_000_000 } : {}),
      allow_direct: true,
    } satisfies Partial<StreamConfig> & { name: string }
    const metadata = { ...(mirrored === undefined ? {} : { [MIRRORED]: mirrored }), ...(name === "RESOURCES" && !history ? { [HISTORY_KEPT]: "off" } : {}) }
    const have = await made(manager, { ...config, metadata }, mirrored)
    incarnations.set(name, have.created)
    if (name === "RESOURCES") isKept = have.config.metadata?.[HISTORY_KEPT] !== "off"
    const isSame = have.config.max_msgs_per_subject === config.max_msgs_per_subject && have.config.max_age === config.max_age && have.config.max_bytes === config.max_bytes && (have.config.sources?.length ?? 0) === 0
    if (!isSame) await manager.streams.update(name, { ...config, sources: [], metadata: have.config.metadata ?? {} })
  }
}

/** The stream as it is, made now if it was not there. A mirror whose origin was made anew waits for it in vain: it is made anew as well. */
const made = async (manager: JetStreamManager, config: Partial<StreamConfig> & { name: string }, mirrored: string | undefined): Promise<ServerStreamInfo> => {
  const have = await manager.streams.info(config.name).catch(missing)
  if (have !== undefined && (mirrored === undefined || have.config.metadata?.[MIRRORED] === mirrored)) return have
  if (have !== undefined) await manager.streams.delete(config.name).catch(missing)
  return manager.streams.add(config).catch((error: unknown) => {
    // 10058: another process created it a moment ago, perhaps as a newer version would: that one stands.
    if (!(error instanceof JetStreamApiError && error.code === 10058)) throw error
    return manager.streams.info(config.name)
  })
}

/** Whatever a read fails with, as a BusError. */
const read = async <T>(what: string, ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof BusError) throw error
    const reason = readFailures[error instanceof Error ? error.name : ""]
      ?? (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND ? "no-stream" : "rejected")
    throw new BusError(reason, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

const STREAM_NOT_FOUND = 10059
/** By the name of the client's error. */
const readFailures: Readonly<Record<string, BusErrorReason>> = {
  TimeoutError: "timeout", RequestError: "no-stream", NoRespondersError: "no-stream", StreamNotFoundError: "no-stream", ClosedConnectionError: "closed", DrainingConnectionError: "closed",
}

const missing = (error: unknown): undefined => {
  if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return undefined
  throw error
}

const jetstreamBus = (connection: NatsConnection, manager: JetStreamManager, history: boolean): Bus => {
  const followings = new Set<Attached>()
  let closed = false
  let isConnected = true
  /** Of questions under way: the client drops one of a broken connection, and lets who asked wait for the full time. */
  const asking = new Set<(error: BusError) => void>()
  const ask = <T>(what: string, question: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      if (!isConnected && !connection.isClosed()) return reject(new BusError("disconnected", `${what}: the server cannot be reached`))
      asking.add(reject)
      void read(what, question).then(resolve, reject).finally(() => asking.delete(reject))
    })
  const infoOf = async (stream: StreamName): Promise<StreamInfo> => {
    const info = await manager.streams.info(stream).catch((error: unknown) => {
      if (missing(error) === undefined) throw new BusError("no-stream", `stream ${stream} does not exist`, { cause: error })
    })
    if (info === undefined) throw new BusError("no-stream", `stream ${stream} does not exist`)
    return { incarnation: info.created, firstSeq: info.state.first_seq, lastSeq: info.state.last_seq, messages: info.state.messages }
  }
  // Several refused messages ask for one repair.
  let mending: Promise<void> | undefined
  const mendStreams = (): Promise<void> => {
    const mine = (mending ??= ensureStreams(manager, history).catch(() => undefined))
    return mine.finally(() => { if (mending === mine) mending = undefined })
  }
  const outgoing = publisher(connection, () => void mendStreams().then(() => { for (const following of followings) following.check() }))
  let connections = 0
  const watchStatus = async (): Promise<void> => {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") {
        connections++
        isConnected = false
        // One that was under way would hold up the next connection for as long as its question waits.
        mending = undefined
        for (const reject of asking) reject(new BusError("disconnected", "the connection broke before the answer"))
        outgoing.disconnected()
        for (const following of followings) following.stalled()
      }
      if (status.type === "reconnect") {
        // A wiped store has no streams: make them before the followers look, so that they find the new incarnation.
        isConnected = true
        const mine = connections
        void mendStreams().then(() => {
          if (mine !== connections) return
          for (const following of followings) following.reattach()
          outgoing.reconnected()
        })
      }
    }
  }
  void watchStatus()

  const bus: Bus = {
    publish: outgoing.publish,
    follow: (follower: Follower) => {
      const following = followJetStream({ connection, manager, follower, infoOf, onStop: () => followings.delete(following) })
      followings.add(following)
      return following
    },
    last: (stream, subject) => ask(`last of ${subject}`, async () => stored(await manager.direct.getMessage(stream, { last_by_subj: subject }))),
    at: (stream, seq) => ask(`${stream} ${seq}`, async () => stored(await manager.direct.getMessage(stream, { seq }))),
    asOf: (stream, subjects, upTo) => ask(`${stream} as of`, async () => {
      if (subjects.length > 1024) throw new BusError("rejected", "asOf takes at most 1,024 subjects")
      // The server's bound is exclusive and in nanoseconds, ours is inclusive and in milliseconds.
      const limit = "time" in upTo ? { up_to_time: new Date(upTo.time + 1) } : { up_to_seq: upTo.seq }
      const messages: Message[] = []
      for await (const found of await manager.direct.getLastMessagesFor(stream, { multi_last: [...subjects], ...limit })) {
        messages.push({ subject: found.subject, seq: found.seq, time: found.time.getTime(), headers: plainHeaders(found.header), data: found.data })
      }
      return { messages, complete: await believable(manager, stream, subjects, messages) }
    }),
    info: (stream) => ask(`${stream} info`, () => infoOf(stream)),
    purge: (stream, filter, upTo) => ask(`${stream} purge`, async () => {
      await manager.streams.purge(stream, upTo === undefined ? { filter } : { filter, seq: upTo + 1 })
    }),
    hint: (subject, data) => { if (!connection.isClosed() && !connection.isDraining()) connection.publish(subject, data) },
    onHint: (filter, on) => {
      const subscription = connection.subscribe(filter, { callback: (error, message) => { if (error === null) on(message.subject, message.string()) } })
      return () => subscription.unsubscribe()
    },
    close: async () => {
      if (closed) return
      closed = true
      await outgoing.drain()
      // A server that is gone or frozen answers nothing: closing does not wait for it.
      const stopped = Promise.all([...followings].map((following) => following.stop()))
      const orderly = stopped.then(() => (isConnected ? connection.drain() : undefined)).catch(() => undefined)
      let patience: NodeJS.Timeout | undefined
      await Promise.race([orderly, new Promise<void>((resolve) => { patience = setTimeout(resolve, CLOSE_PATIENCE) })])
      clearTimeout(patience)
      if (!connection.isClosed()) await connection.close()
    },
  }
  return bus
}

/** Reads, after an as-of answer, what reachesBack needs to know about it. */
const believable = async (manager: JetStreamManager, stream: StreamName, asked: readonly string[], answered: readonly Message[]): Promise<boolean> => {
  const names = new Set(answered.map((message) => message.subject))
  const kept = new Map<string, number>()
  let firstSeq = 0
  for (const filter of asked.filter((subject) => !names.has(subject))) {
    const { state } = await manager.streams.info(stream, { subjects_filter: filter })
    firstSeq = state.first_seq
    for (const [subject, count] of Object.entries(state.subjects ?? {})) kept.set(subject, count)
  }
  return reachesBack(streams[stream], { asked, answered: names, kept, firstSeq })
}

const stored = (message: { subject: string; seq: number; time: Date; header: MsgHdrs | undefined; data: Uint8Array } | null): Message | undefined =>
  message === null ? undefined : { subject: message.subject, seq: message.seq, time: message.time.getTime(), headers: plainHeaders(message.header), data: message.data }

