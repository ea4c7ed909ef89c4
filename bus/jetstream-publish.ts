/**
 * Publishing on JetStream: pipelined in call order, with answers on one inbox and one timer for all. Not the client's
 * own request(): that costs a promise race and a timer a message, buffers over an outage what was already given up,
 * and starts the clock of a message that still waits behind 20,000 others.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node"
import { BusError, type Ack, type Outgoing } from "./bus.ts"
import { answerOf, isBusy, sendError } from "./jetstream-answers.ts"
import { outgoingHeaders } from "./jetstream-headers.ts"
import type { Storing } from "./storing.ts"
import { LONGEST_SUBJECT } from "./streams.ts"

/** Without an answer for so long it is unknown whether a message was stored. */
const PUBLISH_TIMEOUT = 1000
/** Messages and bytes under way at once: enough to keep the server busy, few enough to be answered within the time. */
const WINDOW = 1000
const WINDOW_BYTES = 8 * 1024 * 1024
/** Pause before a message is sent again that another process's keeps out, ms; how often. */
const BUSY = 5
const REFUSALS = 200
/** Left for headers when a body is measured. */
const HEADROOM = 4096

interface Pending {
  readonly subject: string
  readonly data: Uint8Array
  readonly headers: MsgHdrs
  readonly resolve: (ack: Ack) => void
  readonly reject: (error: BusError) => void
  /** When it was called, or sent, on the monotonic clock, ms. */
  since: number
  /** The subject whose last sequence it expects. */
  readonly fence: string | undefined
  /** Times it was refused while no other of ours named the same fence. */
  refusals: number
}

/** Messages of ours that expect something of one subject. */
interface Lane {
  inFlight: number
  readonly held: Pending[]
}

export interface Publisher {
  publish(message: Outgoing): Promise<Ack>
  disconnected(): void
  reconnected(): void
  /** The server does not let this user publish there. */
  refused(subject: string, message: string): void
  /** Resolves when everything called so far is answered or given up. */
  drain(): Promise<void>
}

/** `inboxPrefix`: how its inbox begins. `onNoStream`: the server has no stream for the subject of a message just refused. `storing` is told what becomes of messages. */
export const publisher = (connection: NatsConnection, inboxPrefix: string, onNoStream: () => void, storing: Storing): Publisher => {
  const inbox = createInbox(inboxPrefix)
  const encoder = new TextEncoder()
  /** Called and not yet sent; what lies before `first` has been. */
  let waiting: (Pending | undefined)[] = []
  let first = 0
  /** By number; insertion order is sending order. */
  const inFlight = new Map<number, Pending>()
  const lanes = new Map<string, Lane>()
  let held = 0
  /** Where several servers keep a stream, one message alone may name a fence until all of them have it. Learnt from the first refusal. */
  let oneByOne = false
  let bytes = 0
  let sent = 0
  let isConnected = true
  let timer: NodeJS.Timeout | undefined
  let due = 0
  let idle: (() => void)[] = []

  const settled = (): void => {
    if (first < waiting.length || inFlight.size > 0 || held > 0) return
    clearTimeout(timer)
    timer = undefined
    for (const resolve of idle) resolve()
    idle = []
  }

  const shift = (): Pending | undefined => {
    const next = waiting[first]
    if (next === undefined) return undefined
    waiting[first++] = undefined
    if (first === waiting.length) {
      waiting = []
      first = 0
    }
    return next
  }

  const send = (): void => {
    while (isConnected && inFlight.size < WINDOW && bytes < WINDOW_BYTES) {
      const next = shift()
      if (next === undefined) break
      const lane = laneOf(next)
      if (oneByOne && lane !== undefined && lane.inFlight > 0) hold(lane, next)
      else dispatch(next)
    }
    arm()
    settled()
  }

  const dispatch = (next: Pending): void => {
    try {
      connection.publish(next.subject, next.data, { headers: next.headers, reply: `${inbox}.${++sent}` })
      next.since = performance.now()
      inFlight.set(sent, next)
      bytes += next.data.length
      const lane = laneOf(next)
      if (lane !== undefined) lane.inFlight++
    } catch (error) {
      next.reject(sendError(next.subject, error))
    }
  }

  const laneOf = ({ fence }: Pending): Lane | undefined => {
    if (fence === undefined) return undefined
    const there = lanes.get(fence)
    if (there !== undefined) return there
    const made: Lane = { inFlight: 0, held: [] }
    lanes.set(fence, made)
    return made
  }

  const hold = (lane: Lane, pending: Pending): void => {
    lane.held.push(pending)
    held++
  }

  /** One of a lane has been answered or given up: the next may go. */
  const left = (pending: Pending): void => {
    const lane = pending.fence === undefined ? undefined : lanes.get(pending.fence)
    if (pending.fence === undefined || lane === undefined) return
    lane.inFlight--
    if (lane.inFlight > 0) return
    if (lane.held.length === 0) lanes.delete(pending.fence)
    else if (isConnected) release(lane)
  }

  const release = (lane: Lane): void => {
    if (lane.inFlight > 0) return
    const next = lane.held.shift()
    if (next === undefined) return
    held--
    dispatch(next)
    arm()
  }

  /** Not stored: another message that names the fence is on its way to the other servers. */
  const refusedForNow = (pending: Pending): void => {
    oneByOne = true
    const lane = laneOf(pending)
    if (lane === undefined || ++pending.refusals > REFUSALS) return pending.reject(new BusError("conflict", `${pending.subject}: others write there at the same time, again and again`))
    if (lane.inFlight > 0) {
      pending.refusals = 0
      return hold(lane, pending)
    }
    // It is another process's.
    lane.inFlight++
    held++
    setTimeout(() => {
      lane.inFlight--
      held--
      if (connection.isClosed()) pending.reject(new BusError("closed", "the bus is closed"))
      else if (lanes.get(pending.fence ?? "") === lane) {
        lane.held.unshift(pending)
        held++
        release(lane)
      } else {
        // The connection broke meanwhile, and with it the lane: it waits like all others.
        pending.since = performance.now()
        waiting = [pending, ...waiting.slice(first)]
        first = 0
      }
      send()
    }, BUSY)
  }

  const arm = (): void => {
    if (timer !== undefined) return
    const oldest = inFlight.values().next().value ?? waiting[first]
    if (oldest === undefined) return
    due = oldest.since + PUBLISH_TIMEOUT
    timer = setTimeout(expire, Math.max(due - performance.now(), 1))
  }

  const expire = (): void => {
    timer = undefined
    const now = performance.now()
    if (now - due > 250) {
      // This process stood still, not the server: answers wait in the socket, read them first.
      due = now
      timer = setTimeout(expire, 100)
      return
    }
    for (const [number, pending] of inFlight) {
      if (now - pending.since < PUBLISH_TIMEOUT) break
      storing.failed(pending.subject, `no answer in ${PUBLISH_TIMEOUT} ms`, now)
      giveUp(number)?.reject(new BusError("timeout", `${pending.subject}: no answer in ${PUBLISH_TIMEOUT} ms; stored or not is unknown`))
    }
    for (let next = waiting[first]; !isConnected && next !== undefined && now - next.since >= PUBLISH_TIMEOUT; next = waiting[first]) {
      const pending = shift()
      pending?.reject(new BusError("disconnected", `${pending.subject}: not sent, the server cannot be reached`))
    }
    send()
  }

  const take = (number: number): Pending | undefined => {
    const pending = inFlight.get(number)
    if (pending === undefined || !inFlight.delete(number)) return undefined
    bytes -= pending.data.length
    return pending
  }
  /** Of one that is not sent again. */
  const giveUp = (number: number): Pending | undefined => {
    const pending = take(number)
    if (pending !== undefined) left(pending)
    return pending
  }

  const answered = (message: Msg): void => {
    const pending = take(Number(message.subject.slice(inbox.length + 1)))
    if (pending === undefined) return
    if (message.headers?.code === 503) {
      pending.reject(new BusError("no-stream", `${pending.subject}: no stream stores it`))
      storing.failed(pending.subject, "no stream stores it", performance.now())
      onNoStream()
      left(pending)
    } else if (isBusy(message)) {
      const lane = laneOf(pending)
      if (lane !== undefined) lane.inFlight--
      refusedForNow(pending)
    } else {
      const answer = answerOf(pending.subject, message)
      if (answer instanceof BusError) {
        pending.reject(answer)
        if (answer.reason === "rejected") storing.failed(pending.subject, answer.message, performance.now())
      } else {
        pending.resolve(answer)
        storing.stored(pending.subject)
      }
      left(pending)
    }
    if (first < waiting.length) send()
    else settled()
  }
  const subscription = connection.subscribe(`${inbox}.*`, { callback: (error, message) => { if (error === null) answered(message) } })

  return {
    publish: (message) => {
      if (connection.isClosed() || subscription.isClosed()) return Promise.reject(new BusError("closed", "the bus is closed"))
      const data = typeof message.data === "string" ? encoder.encode(message.data) : message.data
      const limit = (connection.info?.max_payload ?? 1024 * 1024) - HEADROOM
      if (message.subject.length > LONGEST_SUBJECT) return Promise.reject(new BusError("rejected", `a subject of ${message.subject.length} bytes is too long: ${message.subject.slice(0, 80)}…`))
      if (data.length > limit) return Promise.reject(new BusError("too-large", `${message.subject}: ${data.length} bytes exceed the limit of ${limit}`))
      return new Promise<Ack>((resolve, reject) => {
        try {
          waiting.push({ subject: message.subject, data, headers: outgoingHeaders(message), resolve, reject, since: performance.now(), fence: message.expect === undefined ? undefined : (message.expect.subject ?? message.subject), refusals: 0 })
        } catch (error) {
          reject(sendError(message.subject, error))
          return
        }
        send()
      })
    },
    disconnected: () => {
      isConnected = false
      // Sent and not answered: whether they were stored nobody can say now, and no answer will come.
      for (const number of inFlight.keys()) {
        const pending = take(number)
        pending?.reject(new BusError("timeout", `${pending.subject}: the connection broke before the answer; stored or not is unknown`))
      }
      // Those that were held have not been stored: they wait like all others.
      const back = [...lanes.values()].flatMap((lane) => lane.held.splice(0))
      held -= back.length
      waiting = [...back, ...waiting.slice(first)]
      first = 0
      lanes.clear()
      const now = performance.now()
      for (const pending of waiting) if (pending !== undefined) pending.since = now
      clearTimeout(timer)
      timer = undefined
      arm()
      settled()
    },
    reconnected: () => {
      isConnected = true
      send()
    },
    refused: (subject, message) => {
      for (const [number, pending] of inFlight) if (pending.subject === subject) giveUp(number)?.reject(new BusError("rejected", `${subject}: ${message}`))
      send()
    },
    drain: () => (first >= waiting.length && inFlight.size === 0 && held === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
  }
}
