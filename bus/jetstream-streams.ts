/** The streams on JetStream: made and brought up to date by who may, awaited by who may not; and what tells one incarnation from another. */
import { DiscardPolicy, JetStreamApiError, RetentionPolicy, StorageType, type JetStreamManager, type StreamConfig, type StreamInfo as ServerStreamInfo } from "@nats-io/jetstream"
import { RequestError, TimeoutError, type NatsConnection } from "@nats-io/transport-node"
import { BusError, type BusErrorReason, type StreamInfo, type StreamName } from "./bus.ts"
import { streams, type StreamShape } from "./streams.ts"

/** Metadata of a mirror: the incarnation of the stream it copies. */
const MIRRORED = "headgate-mirrored"
/** Metadata of RESOURCES in a store without a history: `off`. */
const HISTORY_KEPT = "headgate-history"

/** Creates what is missing and brings limits up to date. Safe when several processes do it at once. `replicas` undefined: as it is, 1 for a stream that is made. */
export const ensureStreams = (manager: JetStreamManager, history: boolean, replicas?: number): Promise<void> => {
  const ask = (): Promise<void> => pastSilence(() => ensure(manager, history, replicas))
  // A question, or its answer, can get lost between one set of accounts and the next.
  return ask().catch((error: unknown) => (isTimeout(error) ? ask() : Promise.reject(error)))
}

const ensure = async (manager: JetStreamManager, history: boolean, replicas: number | undefined): Promise<void> => {
  /** By name: when it was made, which names its incarnation. */
  const incarnations = new Map<string, string>()
  let isKept = history
  for (const [name, shape] of Object.entries(streams)) {
    if (shape.history === true && !isKept) continue
    const mirrored = shape.mirrors === undefined ? undefined : incarnations.get(shape.mirrors)
    const config = { ...configOf(name, shape, isKept), ...(replicas === undefined ? {} : { num_replicas: replicas }) }
    const metadata = { ...(mirrored === undefined ? {} : { [MIRRORED]: mirrored }), ...(name === "RESOURCES" && !history ? { [HISTORY_KEPT]: "off" } : {}) }
    const have = await made(manager, { ...config, metadata }, mirrored)
    incarnations.set(name, have.created)
    if (name === "RESOURCES") isKept = have.config.metadata?.[HISTORY_KEPT] !== "off"
    if (!hasLimits(have.config, config)) await manager.streams.update(name, { ...config, sources: [], metadata: have.config.metadata ?? {} })
  }
}

type Named = Partial<StreamConfig> & { readonly name: string }

const configOf = (name: string, shape: StreamShape, isKept: boolean): Named => {
  const { perSubject, maxAgeMs = 0 } = (isKept ? undefined : shape.withoutHistory) ?? shape
  return {
    name,
    ...(shape.mirrors === undefined ? { subjects: [...shape.subjects], duplicate_window: 120_000_000_000 } : { mirror: { name: shape.mirrors } }),
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    max_msgs_per_subject: perSubject,
    max_age: maxAgeMs * 1_000_000,
    max_bytes: shape.maxBytes ?? -1,
    allow_direct: true,
  }
}

const hasLimits = (have: StreamConfig, want: Named): boolean =>
  have.max_msgs_per_subject === want.max_msgs_per_subject && have.max_age === want.max_age && have.max_bytes === want.max_bytes && (want.num_replicas === undefined || have.num_replicas === want.num_replicas) && (have.sources?.length ?? 0) === 0

/** The stream as it is, made now if it was not there. A mirror whose origin was made anew waits for it in vain: it is made anew as well. */
const made = async (manager: JetStreamManager, config: Named, mirrored: string | undefined): Promise<ServerStreamInfo> => {
  const have = await manager.streams.info(config.name).catch(missing)
  if (have !== undefined && (mirrored === undefined || have.config.metadata?.[MIRRORED] === mirrored)) return have
  if (have !== undefined) await manager.streams.delete(config.name).catch(missing)
  return manager.streams.add(config).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.code === NO_ROOM) throw new BusError("rejected", `${config.name}: ${error.message}${roomFor(config)}`, { cause: error })
    // 10058: another process created it a moment ago, perhaps as a newer version would: that one stands.
    if (!(error instanceof JetStreamApiError && error.code === 10058)) throw error
    return manager.streams.info(config.name)
  })
}

export const STREAM_NOT_FOUND = 10059
/** JetStream's storage is too small for what its streams may hold. */
const NO_ROOM = 10047

const roomFor = ({ max_bytes = -1 }: Named): string =>
  max_bytes <= 0 ? "" : `: it may hold ${max_bytes / 2 ** 20} MiB, and with the other streams that is more than nats-server may store (its disk, or max_file_store). It needs 4 GiB, or 1 without a history (HEADGATE_HISTORY=off)`

const missing = (error: unknown): undefined => {
  if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return undefined
  throw error
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

/**
 * By the list of streams: it holds what tells a loss and, unlike a stream's own info, no subject, whatever is asked,
 * so that every user may have it. Rejects with BusError "no-stream" when there is none, and otherwise when that is unknown.
 */
export const streamInfo = async (connection: NatsConnection, apiPrefix: string, stream: StreamName): Promise<StreamInfo> => {
  // A mirror has no subjects to be found by.
  const [subject] = streams[stream].subjects
  const answer = await listed(connection, `${apiPrefix}.STREAM.LIST`, JSON.stringify(subject === undefined ? {} : { subject }))
  if (!isRecord(answer)) throw new BusError("rejected", `the list of streams is "${String(answer)}"`)
  if (isRecord(answer["error"])) throw new BusError("rejected", String(answer["error"]["description"]))
  const found = list(answer["streams"]).find((one) => isRecord(one) && isRecord(one["config"]) && one["config"]["name"] === stream)
  const state = isRecord(found) ? found["state"] : undefined
  if (!isRecord(found) || !isRecord(state)) {
    // Of a cluster's member that does not answer: whether its stream is still there nobody knows.
    if (list(answer["missing"]).includes(stream)) throw new BusError("timeout", `stream ${stream} does not answer`)
    throw new BusError("no-stream", `stream ${stream} does not exist`)
  }
  return { incarnation: String(found["created"]), firstSeq: Number(state["first_seq"]), lastSeq: Number(state["last_seq"]), messages: Number(state["messages"]), subjects: Number(state["num_subjects"] ?? 0) }
}

/** Nobody answers for some milliseconds while the server takes up other accounts (README, Users): only who is silent for longer is not there, ms. */
const SILENCE = 300

const pastSilence = async <T>(ask: () => Promise<T>): Promise<T> => {
  for (let pause = 10, waited = 0; ; waited += pause, pause *= 2) {
    try {
      return await ask()
    } catch (error) {
      if (!isSilent(error) || waited > SILENCE) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

/** What has failed, or what that was made of: the client wraps silence in "JetStream is not enabled". */
const isBehind = (error: unknown, is: (cause: Error) => boolean): boolean => error instanceof Error && (is(error) || isBehind(error.cause, is))
const isSilent = (error: unknown): boolean => isBehind(error, (cause) => cause instanceof RequestError && cause.isNoResponders())
const isTimeout = (error: unknown): boolean => isBehind(error, (cause) => cause instanceof TimeoutError)

/** Rejects with BusError "timeout" where JetStream is silent: which streams it has nobody knows then. */
const listed = (connection: NatsConnection, request: string, body: string): Promise<unknown> =>
  pastSilence(async () => (await connection.request(request, body, { timeout: 5000 })).json()).catch((error: unknown) => {
    throw isSilent(error) ? new BusError("timeout", "JetStream does not answer", { cause: error }) : error
  })

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const WAITED_FOR: ReadonlySet<BusErrorReason> = new Set(["no-stream", "timeout"])

/** Resolves when all of them exist. Rejects with BusError "no-stream", or "timeout" where the server does not say, after `timeout` ms. */
export const untilStreams = async (connection: NatsConnection, apiPrefix: string, needed: readonly StreamName[], timeout: number, signal: AbortSignal | undefined): Promise<void> => {
  const deadline = performance.now() + timeout
  for (const stream of needed) {
    for (;;) {
      signal?.throwIfAborted()
      try {
        await streamInfo(connection, apiPrefix, stream)
        break
      } catch (error) {
        if (!(error instanceof BusError) || !WAITED_FOR.has(error.reason) || performance.now() > deadline) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
}
