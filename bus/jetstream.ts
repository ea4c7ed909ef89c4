/** The Bus on NATS JetStream: with jetstream-follow.ts and jetstream-publish.ts all that imports NATS. */
import { JetStreamApiError, jetstreamManager, type JetStreamManager } from "@nats-io/jetstream"
import { AuthorizationError, connect, PermissionViolationError, RequestError, usernamePasswordAuthenticator, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node"
import { accessOf, CREDENTIALS, type Access } from "./access.ts"
import { reachesBack } from "./as-of.ts"
import { BusError, type Bus, type BusErrorReason, type Follower, type Message, type StreamInfo, type StreamName } from "./bus.ts"
import { tellConnection } from "./connections.ts"
import { followJetStream, type Attached } from "./jetstream-follow.ts"
import { plainHeaders } from "./jetstream-headers.ts"
import { publisher } from "./jetstream-publish.ts"
import { ensureStreams, STREAM_NOT_FOUND, streamInfo, untilStreams } from "./jetstream-streams.ts"
import { Storing } from "./storing.ts"
import { streams } from "./streams.ts"

export interface ConnectOptions {
  readonly url: string
  /** Shown in the server's connection list. */
  readonly name: string
  /** Who connects, and how; default: what `url` and this process's environment say. */
  readonly access?: Access
  /** Makes missing streams and brings their limits up to date (the default), or waits until those named are there: for users who may not. */
  readonly streams?: "ensure" | readonly StreamName[]
  /** How long to wait for the first connection, ms. Default 10,000. */
  readonly timeout?: number
  /** Gives up connecting. */
  readonly signal?: AbortSignal
  /** Whether a store that is made now keeps a history; one that is there goes on as it was made. Default: unless HEADGATE_HISTORY is `off`. */
  readonly history?: boolean
  /** Copies of each stream, as many servers as that; default: HEADGATE_NATS_REPLICAS, else as they are. */
  readonly replicas?: number
}

/** HEADGATE_NATS_REPLICAS; undefined where it is unset or no odd number up to 5. */
const replicasOf = (text: string | undefined): number | undefined => (text !== undefined && /^[135]$/.test(text) ? Number(text) : undefined)

const CLOSE_PATIENCE = 1000
const MINIMUM = [2, 11] as const

/** Connects and sees to the streams. Rejects with BusError: unreachable or refused in time, a server older than 2.11, or one without JetStream. */
export const connectBus = async (options: ConnectOptions): Promise<Bus> => {
  const { name, access = accessOf(options.url, process.env), streams: needed = "ensure", timeout = 10_000, signal, history = process.env["HEADGATE_HISTORY"] !== "off", replicas = replicasOf(process.env["HEADGATE_NATS_REPLICAS"]) } = options
  const { url } = access
  const connection = await connectWithin(access, name, timeout, signal)
  try {
    const version = connection.info?.version ?? "0.0.0"
    const [major = 0, minor = 0] = version.split(".").map(Number)
    if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) throw new BusError("rejected", `nats-server ${version} at ${url} is too old: 2.11 or newer is needed`)
    const prefix = { api: access.apiPrefix ?? "$JS.API", inbox: access.inboxPrefix ?? "_INBOX" }
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 5000, apiPrefix: prefix.api })
    const ensure = (): Promise<void> => ensureStreams(manager, history, replicas)
    await read(`streams of ${url}`, needed === "ensure" ? ensure : () => untilStreams(connection, prefix.api, needed, timeout, signal))
    signal?.throwIfAborted()
    return jetstreamBus({ connection, manager, user: access.user ?? "without a name", prefix, mend: needed === "ensure" ? ensure : () => Promise.resolve() })
  } catch (error) {
    await connection.close()
    throw error
  }
}

const connectWithin = async (access: Access, name: string, timeout: number, signal: AbortSignal | undefined): Promise<NatsConnection> => {
  const { url, user, inboxPrefix, tls } = access
  const deadline = performance.now() + timeout
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await connect({
        // A server that takes up a new user just now may say nothing: the next attempt finds it well.
        servers: url, name, timeout: attempt === 0 ? 600 : 2000, maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 100, pingInterval: 20_000, ignoreAuthErrorAbort: true,
        ...(user === undefined ? {} : { authenticator: usernamePasswordAuthenticator(user, passwords(access)) }),
        ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
        ...(tls === undefined ? {} : { tls: { ...(tls.ca === undefined ? {} : { caFile: tls.ca }), ...(tls.cert === undefined ? {} : { certFile: tls.cert }), ...(tls.key === undefined ? {} : { keyFile: tls.key }) } }),
      })
    } catch (error) {
      if (performance.now() > deadline && error instanceof AuthorizationError) throw new BusError("rejected", `nats-server at ${url} refuses ${user === undefined ? `who brings no credentials (${CREDENTIALS} names a file of them)` : `the user ${user}`}: ${error.message}`, { cause: error })
      if (performance.now() > deadline) throw new BusError("disconnected", `no nats-server at ${url}: ${String(error)}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

const passwords = ({ password = "", newPassword }: Access): (() => string) => {
  let last = password
  return () => {
    try {
      last = newPassword?.() ?? last
    } catch {
      // The file is being exchanged, or gone: whether the last one still counts the server says.
    }
    return last
  }
}

/** Whatever a read fails with, as a BusError. */
const read = async <T>(what: string, ask: () => Promise<T>): Promise<T> => {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof BusError) throw error
    const reason = (error instanceof RequestError && !error.isNoResponders() ? "rejected" : readFailures[error instanceof Error ? error.name : ""])
      ?? (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND ? "no-stream" : "rejected")
    throw new BusError(reason, `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** By the name of the client's error. */
const readFailures: Readonly<Record<string, BusErrorReason>> = {
  TimeoutError: "timeout", RequestError: "no-stream", NoRespondersError: "no-stream", StreamNotFoundError: "no-stream", ClosedConnectionError: "closed", DrainingConnectionError: "closed",
}

interface Connected {
  readonly connection: NatsConnection
  readonly manager: JetStreamManager
  readonly user: string
  readonly prefix: { readonly api: string; readonly inbox: string }
  /** Makes streams that are missing anew, where that is this process's to do. */
  readonly mend: () => Promise<void>
}

const jetstreamBus = ({ connection, manager, user, prefix, mend }: Connected): Bus => {
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
  const infoOf = (stream: StreamName): Promise<StreamInfo> => streamInfo(connection, prefix.api, stream)
  /** Nobody answers for a stream that is gone, nor for one that is there while the server has JetStream switched off, as its disk is full. */
  const askStream = <T>(stream: StreamName, what: string, question: () => Promise<T>): Promise<T> =>
    ask(what, () => read(what, question).catch(async (error: unknown) => {
      if (!(error instanceof BusError) || error.reason !== "no-stream") throw error
      await infoOf(stream)
      throw new BusError("timeout", error.message, { cause: error })
    }))
  // Several refused messages ask for one repair.
  let mending: Promise<void> | undefined
  const mendStreams = (): Promise<void> => {
    const mine = (mending ??= mend().catch(() => undefined))
    return mine.finally(() => { if (mending === mine) mending = undefined })
  }
  // Like a refusal: whoever publishes goes on trying, in silence.
  const storing = new Storing((stream, why) => process.emitWarning(
    why === undefined ? `user ${user}: ${stream} takes messages again` : `user ${user}: nothing can be stored in ${stream}: ${why}. It is tried again until it is; the log of nats-server says why (its disk may be full)`,
    why === undefined ? "BusStoresAgain" : "BusStoresNothing",
  ))
  const outgoing = publisher(connection, prefix.inbox, () => void mendStreams().then(() => { for (const following of followings) following.check() }), storing)
  let connections = 0
  /** Said once. */
  let isRefused = false
  const watchStatus = async (): Promise<void> => {
    for await (const status of connection.status()) {
      if (status.type === "error" && status.error instanceof PermissionViolationError) {
        if (status.error.operation === "publish") outgoing.refused(status.error.subject, status.error.message)
        // Asked again and again, it would only be silent: whoever runs this process has to give it other credentials.
        if (!isRefused) process.emitWarning(`user ${user}: ${status.error.message}`, "BusRefuses")
        isRefused = true
      }
      if (status.type === "disconnect") {
        connections++
        isConnected = false
        tellConnection(connection, false)
        // One that was under way would hold up the next connection for as long as its question waits.
        mending = undefined
        for (const reject of asking) reject(new BusError("disconnected", "the connection broke before the answer"))
        outgoing.disconnected()
        for (const following of followings) following.stalled()
      }
      if (status.type === "reconnect") {
        // A wiped store has no streams: make them before the followers look, so that they find the new incarnation.
        isConnected = true
        tellConnection(connection, true)
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
  tellConnection(connection, true)

  const bus: Bus = {
    publish: outgoing.publish,
    follow: (follower: Follower) => {
      const following = followJetStream({ connection, manager, prefix, follower, infoOf, onStop: () => followings.delete(following) })
      followings.add(following)
      return following
    },
    last: (stream, subject) => askStream(stream, `last of ${subject}`, async () => stored(await getterOf(manager, stream).getMessage(stream, { last_by_subj: subject }))),
    at: (stream, seq) => askStream(stream, `${stream} ${seq}`, async () => stored(await getterOf(manager, stream).getMessage(stream, { seq }))),
    asOf: (stream, subjects, upTo) => askStream(stream, `${stream} as of`, async () => {
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
    purge: (stream, filter, upTo) => askStream(stream, `${stream} purge`, async () => {
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
      tellConnection(connection, false)
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

/** A mirror answers direct gets for its origin too: late, and with what was purged there. So the origin itself is asked. */
const getterOf = ({ direct, streams: origin }: JetStreamManager, stream: StreamName) => (Object.values(streams).some(({ mirrors }) => mirrors === stream) ? origin : direct)

const stored = (message: { subject: string; seq: number; time: Date; header: MsgHdrs | undefined; data: Uint8Array } | null): Message | undefined =>
  message === null ? undefined : { subject: message.subject, seq: message.seq, time: message.time.getTime(), headers: plainHeaders(message.header), data: message.data }

