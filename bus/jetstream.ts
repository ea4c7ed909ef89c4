/** The Bus on NATS JetStream: the only file, with jetstream-follow.ts, that imports NATS. */
import { DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType, jetstreamManager, type JetStreamManager, type StreamConfig } from "@nats-io/jetstream"
import { connect, headers as natsHeaders, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node"
import { BusError, type Ack, type Bus, type Follower, type Following, type Message, type Outgoing, type StreamInfo, type StreamName } from "./bus.ts"
import { followJetStream, plainHeaders } from "./jetstream-follow.ts"
import { MAX_PAYLOAD, streams } from "./streams.ts"

export interface ConnectOptions {
  readonly url: string
  /** Shown in the server's connection list. */
  readonly name: string
  /** How long to wait for the first connection, ms. Default 10,000. */
  readonly timeout?: number
}

const PUBLISH_TIMEOUT = 1000
const MINIMUM = [2, 11] as const

/** Connects and ensures the streams. Rejects with BusError: unreachable in time, or a server older than 2.11. */
export const connectBus = async ({ url, name, timeout = 10_000 }: ConnectOptions): Promise<Bus> => {
  const connection = await connectWithin(url, name, timeout)
  const version = connection.info?.version ?? "0.0.0"
  const [major = 0, minor = 0] = version.split(".").map(Number)
  if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
    await connection.close()
    throw new BusError("rejected", `nats-server ${version} at ${url} is too old: 2.11 or newer is needed`)
  }
  const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 5000 })
  await ensureStreams(manager)
  return jetstreamBus(connection, manager)
}

const connectWithin = async (url: string, name: string, timeout: number): Promise<NatsConnection> => {
  const deadline = performance.now() + timeout
  for (;;) {
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

/** Creates what is missing and brings limits up to date. Safe when several processes do it at once. */
const ensureStreams = async (manager: JetStreamManager): Promise<void> => {
  for (const [name, shape] of Object.entries(streams)) {
    const config = {
      name,
      subjects: [...shape.subjects],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.Old,
      max_msgs_per_subject: shape.perSubject,
      max_age: (shape.maxAgeMs ?? 0) * 1_000_000,
      max_bytes: shape.maxBytes ?? -1,
      duplicate_window: 120_000_000_000,
      allow_direct: true,
      ...(shape.sources === undefined ? {} : { sources: shape.sources.map((source) => ({ name: source })) }),
    } satisfies Partial<StreamConfig> & { name: string }
    const have = await manager.streams.info(name).catch(missing)
    if (have === undefined) {
      await manager.streams.add(config).catch((error: unknown) => {
        // 10058: another process created it a moment ago, perhaps as a newer version would: that one stands.
        if (!(error instanceof JetStreamApiError && error.code === 10058)) throw error
      })
    } else if (have.config.max_msgs_per_subject !== config.max_msgs_per_subject || have.config.max_age !== config.max_age || have.config.max_bytes !== config.max_bytes) {
      await manager.streams.update(name, config)
    }
  }
}

const missing = (error: unknown): undefined => {
  if (error instanceof JetStreamApiError && error.code === 10059) return undefined
  throw error
}

const jetstreamBus = (connection: NatsConnection, manager: JetStreamManager): Bus => {
  const followings = new Set<Following & { reattach(): void; stalled(): void }>()
  let closed = false
  const infoOf = async (stream: StreamName): Promise<StreamInfo> => {
    const info = await manager.streams.info(stream).catch((error: unknown) => {
      if (missing(error) === undefined) throw new BusError("no-stream", `stream ${stream} does not exist`, { cause: error })
    })
    if (info === undefined) throw new BusError("no-stream", `stream ${stream} does not exist`)
    return { incarnation: info.created, firstSeq: info.state.first_seq, lastSeq: info.state.last_seq, messages: info.state.messages }
  }
  const watchStatus = async (): Promise<void> => {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") for (const following of followings) following.stalled()
      if (status.type === "reconnect") {
        // A wiped store has no streams: make them before the followers look, so that they find the new incarnation.
        await ensureStreams(manager).catch(() => undefined)
        for (const following of followings) following.reattach()
      }
    }
  }
  void watchStatus()

  const bus: Bus = {
    publish: (message) => publish(connection, message),
    follow: (follower: Follower) => {
      const following = followJetStream({ connection, manager, follower, infoOf, onStop: () => followings.delete(following) })
      followings.add(following)
      return following
    },
    last: async (stream, subject) => stored(await manager.direct.getMessage(stream, { last_by_subj: subject })),
    at: async (stream, seq) => stored(await manager.direct.getMessage(stream, { seq })),
    asOf: async (stream, subjects, upTo) => {
      if (subjects.length > 1024) throw new BusError("rejected", "asOf answers at most 1,024 subjects")
      const limit = "time" in upTo ? { up_to_time: new Date(upTo.time) } : { up_to_seq: upTo.seq }
      const messages: Message[] = []
      for await (const found of await manager.direct.getLastMessagesFor(stream, { multi_last: [...subjects], ...limit })) {
        messages.push({ subject: found.subject, seq: found.seq, time: found.time.getTime(), headers: plainHeaders(found.header), data: found.data })
      }
      return { messages, complete: await keptSince(manager, stream, subjects, messages) }
    },
    info: infoOf,
    purge: async (stream, filter, upTo) => {
      await manager.streams.purge(stream, upTo === undefined ? { filter } : { filter, seq: upTo + 1 })
    },
    hint: (subject, data) => connection.publish(subject, data),
    onHint: (filter, on) => {
      const subscription = connection.subscribe(filter, { callback: (error, message) => { if (error === null) on(message.subject, message.string()) } })
      return () => subscription.unsubscribe()
    },
    close: async () => {
      if (closed) return
      closed = true
      await Promise.all([...followings].map((following) => following.stop()))
      await connection.drain().catch(() => connection.close())
    },
  }
  return bus
}

/**
 * Whether nothing older was dropped that asOf would have had to answer with: a subject that has messages now, none
 * in the answer, and as many as the stream keeps, may have lost the one asked for.
 */
const keptSince = async (manager: JetStreamManager, stream: StreamName, subjects: readonly string[], answered: readonly Message[]): Promise<boolean> => {
  const has = new Set(answered.map((message) => message.subject))
  for (const filter of subjects) {
    const { state } = await manager.streams.info(stream, { subjects_filter: filter })
    for (const [subject, count] of Object.entries(state.subjects ?? {})) if (!has.has(subject) && count >= streams[stream].perSubject) return false
  }
  return true
}

const publish = async (connection: NatsConnection, message: Outgoing): Promise<Ack> => {
  if (connection.isClosed()) throw new BusError("closed", "the bus is closed")
  const head = natsHeaders()
  for (const [name, value] of Object.entries(message.headers ?? {})) head.set(name, value)
  if (message.msgId !== undefined) head.set("Nats-Msg-Id", message.msgId)
  if (message.expect !== undefined) {
    head.set("Nats-Expected-Last-Subject-Sequence", String(message.expect.seq))
    if (message.expect.subject !== undefined) head.set("Nats-Expected-Last-Subject-Sequence-Subject", message.expect.subject)
  }
  if (message.data.length > MAX_PAYLOAD - 4096) throw new BusError("too-large", `${message.subject}: ${message.data.length} bytes exceed the limit of ${MAX_PAYLOAD}`)
  let answer: unknown
  try {
    answer = (await connection.request(message.subject, message.data, { timeout: PUBLISH_TIMEOUT, headers: head })).json()
  } catch (error) {
    throw publishError(message.subject, error)
  }
  return readAck(message.subject, answer)
}

const publishError = (subject: string, error: unknown): BusError => {
  const name = error instanceof Error ? error.name : ""
  const options = { cause: error }
  if (name === "TimeoutError") return new BusError("timeout", `${subject}: no ack in ${PUBLISH_TIMEOUT} ms`, options)
  if (name === "NoRespondersError" || name === "RequestError") return new BusError("no-stream", `${subject}: no stream stores it`, options)
  if (name === "ClosedConnectionError" || name === "DrainingConnectionError") return new BusError("closed", "the bus is closed", options)
  if (name === "InvalidArgumentError") return new BusError("too-large", `${subject}: ${String(error)}`, options)
  return new BusError("disconnected", `${subject}: ${String(error)}`, options)
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

const readAck = (subject: string, answer: unknown): Ack => {
  if (!isRecord(answer)) throw new BusError("rejected", `${subject}: the server's ack is not an object`)
  if (isRecord(answer["error"])) {
    const { err_code: code, description } = answer["error"]
    // 10071 wrong last sequence, 10164 wrong last sequence of another subject.
    const reason = code === 10071 || code === 10164 ? "conflict" : code === 10054 ? "too-large" : "rejected"
    throw new BusError(reason, `${subject}: ${String(description)}`)
  }
  if (typeof answer["seq"] !== "number") throw new BusError("rejected", `${subject}: the server's ack has no sequence`)
  return { seq: answer["seq"], duplicate: answer["duplicate"] === true }
}

const stored = (message: { subject: string; seq: number; time: Date; header: MsgHdrs | undefined; data: Uint8Array } | null): Message | undefined =>
  message === null ? undefined : { subject: message.subject, seq: message.seq, time: message.time.getTime(), headers: plainHeaders(message.header), data: message.data }

