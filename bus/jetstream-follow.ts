/**
 * One follower on JetStream: an ordered ephemeral pull consumer that we make, watch and replace ourselves, because
 * the client's own recovery takes three heartbeats and goes silently dead when the store is lost. Its filter stands in
 * the subject of the request that makes it, where the server's permissions see it; its name is a secret, because
 * whoever knows it can pull from it.
 */
import { randomBytes } from "node:crypto"
import { AckPolicy, DeliverPolicy, JetStreamApiError, ReplayPolicy, type ConsumerConfig, type JetStreamManager } from "@nats-io/jetstream"
import { createInbox, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node"
import { BusError, type Follower, type Following, type LostReason, type StreamInfo, type StreamName } from "./bus.ts"
import { Received } from "./jetstream-headers.ts"
import { pull, type Puller } from "./jetstream-pull.ts"

const HEARTBEAT = 5000
const CHECK = 10_000

interface Options {
  readonly connection: NatsConnection
  readonly manager: JetStreamManager
  /** `$JS.API` or what stands for it; the start of every inbox. */
  readonly prefix: { readonly api: string; readonly inbox: string }
  readonly follower: Follower
  readonly infoOf: (stream: StreamName) => Promise<StreamInfo>
  readonly onStop: () => void
}

export interface Attached extends Following {
  reattach(): void
  stalled(): void
  /** Is the store still the one followed? Says so by onLost if it is not. */
  check(): void
}

export const followJetStream = ({ connection, manager, prefix, follower, infoOf, onStop }: Options): Attached => {
  const { stream, filter, from } = follower
  let seen = 0
  /** The highest sequence delivered. After the replay of the state everything up to here needs no delivery. */
  let position = from === "state" ? 0 : from.after
  /** What the replay of the state has delivered, until it is over. */
  let replayed: number[] = []
  /** The same for a replay begun anew. */
  let delivered: ReadonlySet<number> = new Set()
  let incarnation: string | undefined
  let caughtUp = false
  let ended = false
  let isStalled = false
  /** Rises with every attach; callbacks of an earlier one are ignored. */
  let attempt = 0
  let expected = 1
  let lastHeard = performance.now()
  let subscription: Subscription | undefined
  let consumer: string | undefined
  let backoff = 50

  const end = (): void => {
    ended = true
    attempt++
    clearInterval(watchdog)
    subscription?.unsubscribe()
    onStop()
  }
  /** The client would swallow what a callback throws and go silent: it is thrown where it ends the process. */
  const tell = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      if (!ended) end()
      setImmediate(() => { throw error })
    }
  }
  const lose = (reason: LostReason): void => {
    if (ended) return
    end()
    tell(() => follower.onLost?.(reason))
  }
  const stalled = (now: boolean): void => {
    if (now === isStalled || ended) return
    isStalled = now
    tell(() => follower.onStalled?.(now))
  }
  const reachedEnd = (info: StreamInfo): void => {
    if (caughtUp || ended) return
    caughtUp = true
    replayed = []
    delivered = new Set()
    tell(() => follower.onCaughtUp?.(info))
  }

  /** True when the store is the one followed so far. Compares with what was seen BEFORE asking (I8). */
  const verify = async (): Promise<StreamInfo | undefined> => {
    const before = position
    const known = incarnation
    try {
      const info = await infoOf(stream)
      if (known !== undefined && info.incarnation !== known) return void lose("recreated")
      if (info.lastSeq < before) return void lose("sequence-went-back")
      return info
    } catch (error) {
      if (error instanceof BusError && error.reason === "no-stream") return void lose("stream-missing")
      throw error
    }
  }

  const attach = async (): Promise<void> => {
    const mine = ++attempt
    subscription?.unsubscribe()
    try {
      const info = await verify()
      if (info === undefined || mine !== attempt) return
      incarnation = info.incarnation
      expected = 1
      lastHeard = performance.now()
      delivered = new Set(replayed)
      const name = randomBytes(16).toString("base64url")
      const created = await manager.consumers.add(stream, consumerConfig(name))
      if (mine !== attempt) return void manager.consumers.delete(stream, name).catch(() => undefined)
      consumer = name
      backoff = 50
      const inbox = createInbox(prefix.inbox)
      subscription = connection.subscribe(inbox, { callback: (error, message) => { if (error === null && mine === attempt) receive(message, inbox, info, puller) } })
      const puller = pull(connection, `${prefix.api}.CONSUMER.MSG.NEXT.${stream}.${name}`, inbox, HEARTBEAT)
      stalled(false)
      if (created.num_pending === 0 && created.delivered.consumer_seq === 0) reachedEnd(info)
    } catch (error) {
      if (mine !== attempt || ended || connection.isClosed()) return
      if (error instanceof JetStreamApiError && error.code === 10059) return void lose("stream-missing")
      stalled(true)
      attachLater()
    }
  }

  const attachLater = (): void => {
    const mine = attempt
    backoff = Math.min(backoff * 2, 5000)
    setTimeout(() => { if (mine === attempt && !ended) void attach() }, backoff * (0.5 + Math.random()))
  }

  const consumerConfig = (name: string): Partial<ConsumerConfig> => ({
    name,
    ack_policy: AckPolicy.None,
    replay_policy: ReplayPolicy.Instant,
    filter_subject: filter,
    inactive_threshold: 30_000_000_000,
    mem_storage: true,
    num_replicas: 1,
    max_deliver: 1,
    // A replay of the state that broke off starts anew: what was delivered is skipped, by its sequence; a subject that
    // has a newer message by now, or whose message never came, comes as it is now.
    ...(from === "state" && !caughtUp ? { deliver_policy: DeliverPolicy.LastPerSubject } : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: position + 1 }),
  })

  const receive = (message: Msg, inbox: string, attachedAt: StreamInfo, puller: Puller): void => {
    lastHeard = performance.now()
    // The server's own words come under the subject asked with, what is stored under its own.
    if (message.subject === inbox) {
      if (!puller.told(message)) return attachLater()
      const last = message.headers?.get("Nats-Last-Consumer") ?? ""
      if (last !== "" && Number(last) >= expected) void attach()
      else if (!caughtUp) void confirmEnd(attachedAt)
      return
    }
    puller.taken(message.data.length)
    // $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>, with a domain and account before it in the long form
    const token = (message.reply ?? "").split(".")
    const base = token.length >= 11 ? 4 : 2
    const seq = Number(token[base + 3])
    const consumerSeq = Number(token[base + 4])
    if (consumerSeq !== expected) return void attach()
    expected++
    const pending = token[base + 6]
    const isNew = caughtUp || from !== "state" ? seq > position : !delivered.has(seq)
    if (isNew) {
      position = seen = Math.max(seq, position)
      if (!caughtUp && from === "state") replayed.push(seq)
      tell(() => follower.onMessage(new Received(message, seq, Number((token[base + 5] ?? "").slice(0, -6)))))
    }
    if (pending === "0") reachedEnd(attachedAt)
  }

  /**
   * Pending counts can stay above zero when what was counted is superseded; an idle consumer is asked. Where what was
   * counted was purged meanwhile its own count stays wrong too: another one counts what there is.
   */
  const confirmEnd = async (attachedAt: StreamInfo): Promise<void> => {
    const mine = attempt
    if (consumer === undefined) return
    const info = await manager.consumers.info(stream, consumer).catch(() => undefined)
    if (mine !== attempt || info === undefined || info.delivered.consumer_seq >= expected) return
    if (info.num_pending === 0) reachedEnd(attachedAt)
    else void attach()
  }

  const watchdog = setInterval(() => {
    if (ended || connection.isClosed()) return
    if (performance.now() - lastHeard > 2 * HEARTBEAT + 1000) void attach()
    else void verify().catch(() => undefined)
  }, CHECK)
  watchdog.unref()

  void attach()
  return {
    get seen() {
      return seen
    },
    reattach: () => void attach(),
    stalled: () => stalled(true),
    check: () => void verify().catch(() => undefined),
    stop: async () => {
      if (ended) return
      end()
      // While the server is away it forgets a consumer by itself.
      if (consumer !== undefined && !isStalled && !connection.isClosed()) await manager.consumers.delete(stream, consumer).catch(() => undefined)
    },
  }
}
