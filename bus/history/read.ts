/** Reads what is stored, to an end: what a follower gives, as a promise. */
import { BusError, type Bus, type Follower, type Message, type StreamInfo, type StreamName } from "../bus.ts"

/** How long a copy that is on its way is waited for, ms. */
export const PATIENCE = 2000

/**
 * Gives messages of one filter to `take`, in stream order, until it answers `"enough"` or everything that was stored
 * at the call has been given; resolves with the stream as it was at the call. Rejects with BusError: "no-stream" when
 * the stream is not there or is lost meanwhile, "disconnected" when the server goes away.
 */
export const readLog = (bus: Bus, stream: StreamName, filter: string, from: Follower["from"], take: (message: Message) => "enough" | undefined): Promise<StreamInfo | undefined> =>
  new Promise((resolve, reject) => {
    let isDone = false
    const finish = (settle: () => void): void => {
      if (isDone) return
      isDone = true
      // `follow` may call back before it returns.
      queueMicrotask(() => void following.stop())
      settle()
    }
    const following = bus.follow({
      stream, filter, from,
      onMessage: (message) => { if (!isDone && take(message) === "enough") finish(() => resolve(undefined)) },
      onCaughtUp: (info) => finish(() => resolve(info)),
      onLost: (reason) => finish(() => reject(new BusError("no-stream", `${stream} was lost: ${reason}`))),
      onStalled: (stalled) => { if (stalled) finish(() => reject(new BusError("disconnected", `${stream} cannot be read: the server is away`))) },
    })
  })

/** Asks again and again, for `patience` ms, until there is an answer. */
export const within = async <T>(patience: number, ask: () => Promise<T | undefined>): Promise<T | undefined> => {
  for (const deadline = performance.now() + patience; ; ) {
    const answer = await ask()
    if (answer !== undefined || performance.now() > deadline) return answer
    await new Promise((next) => setTimeout(next, 10))
  }
}
