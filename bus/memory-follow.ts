/** One follower of a memory store: attaches, delivers and learns of a loss by steps of its own channel. */
import type { Follower, Following, LostReason, Message, StreamInfo, StreamName } from "./bus.ts"
import type { StoredStream } from "./memory.ts"
import type { Step, Stepper } from "./memory-steps.ts"
import { subjectMatches } from "./subject.ts"

export interface MemoryFollowing extends Following {
  readonly stream: StreamName
  attach(): void
  offer(stream: StoredStream, message: Message): void
  /** The connection is gone: what was under way is lost. */
  stall(): void
  wiped(): void
  end(): void
}

interface Options {
  readonly follower: Follower
  readonly port: string
  readonly steps: Stepper
  readonly stream: () => StoredStream
  readonly info: () => StreamInfo
  readonly onEnd: () => void
}

let channels = 0

export const followMemory = ({ follower, port, steps, stream, info, onEnd }: Options): MemoryFollowing => {
  const channel = `${port} follower ${++channels}`
  let position = follower.from === "state" ? 0 : follower.from.after
  let seen = 0
  /** The stream attached to; undefined while not attached. */
  let attached: StoredStream | undefined
  let incarnation: string | undefined
  let attachedAt: StreamInfo | undefined
  let caughtUp = false
  let stalled = false
  let ended = false
  /** Rises when what is under way is lost. */
  let connection = 0
  let queue: Message[] = []
  let scheduled = false

  const add = (what: Step["what"], subject: string, act: () => void): void => {
    const mine = connection
    steps.add({ port, what, subject, channel, run: () => { if (!ended && mine === connection) act() } })
  }

  const end = (): void => {
    ended = true
    attached = undefined
    queue = []
  }
  const lose = (reason: LostReason): void => {
    end()
    onEnd()
    follower.onLost?.(reason)
  }

  const deliverNext = (): void => {
    scheduled = false
    let message = queue.shift()
    // What was dropped or purged before it could be delivered is not kept any more: as on the server, it is passed over.
    while (message !== undefined && attached?.messages.has(message.seq) === false) message = queue.shift()
    if (message !== undefined) {
      position = message.seq
      seen = message.seq
      follower.onMessage(message)
    }
    const next = queue[0]
    if (!caughtUp && !ended && attachedAt !== undefined && (next === undefined || next.seq > attachedAt.lastSeq)) {
      caughtUp = true
      follower.onCaughtUp?.(attachedAt)
    }
    if (queue.length > 0) schedule()
  }
  const schedule = (): void => {
    if (scheduled || ended) return
    scheduled = true
    add("deliver", queue[0]?.subject ?? follower.filter, deliverNext)
  }

  const attachNow = (): void => {
    const store = stream()
    if (incarnation !== undefined && incarnation !== store.incarnation) return lose("recreated")
    if (store.last < position) return lose("sequence-went-back")
    incarnation = store.incarnation
    attached = store
    attachedAt = info()
    const wanted = [...store.messages.values()].filter((message) => message.seq > position && subjectMatches(follower.filter, message.subject))
    // A replay of the state that broke off starts anew behind what it delivered: a subject whose last message was
    // delivered is not repeated, one that changed since comes as it is now.
    queue = follower.from === "state" && !caughtUp ? [...new Map(wanted.map((message) => [message.subject, message])).values()].sort((a, b) => a.seq - b.seq) : wanted
    if (stalled) {
      stalled = false
      follower.onStalled?.(false)
    }
    if (queue.length > 0 || !caughtUp) schedule()
  }

  const forget = (): void => {
    connection++
    scheduled = false
    attached = undefined
    queue = []
  }

  return {
    stream: follower.stream,
    get seen() {
      return seen
    },
    attach: () => add("attach", follower.filter, attachNow),
    offer: (store, message) => {
      if (attached !== store || !subjectMatches(follower.filter, message.subject)) return
      queue.push(message)
      schedule()
    },
    stall: () => {
      forget()
      if (stalled || ended) return
      stalled = true
      follower.onStalled?.(true)
    },
    wiped: () => {
      if (attached === undefined) return
      forget()
      add("lost", follower.filter, () => lose("recreated"))
    },
    end,
    stop: async () => {
      end()
      onEnd()
    },
  }
}
