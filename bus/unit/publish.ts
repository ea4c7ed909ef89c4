import { BusError, type Ack, type Bus, type Outgoing } from "../bus.ts"

/**
 * Publishes a message for each item, in order, with at most `window` unanswered. After the first failure sends no
 * more, waits for what is out, and rejects with that failure; `onAck` was then called for all that are known stored.
 */
export const publishAll = <T>(bus: Bus, items: readonly T[], window: number, message: (item: T, i: number) => Outgoing, onAck: (item: T, ack: Ack, i: number) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    const queue = items.entries()
    let isSent = false
    let out = 0
    let failure: { readonly error: unknown } | undefined
    const pump = (): void => {
      while (failure === undefined && !isSent && out < window) {
        const next = queue.next()
        if (next.done === true) isSent = true
        else send(next.value[0], next.value[1])
      }
      if (out > 0) return
      if (failure !== undefined) reject(failure.error)
      else resolve()
    }
    const send = (i: number, item: T): void => {
      out++
      bus.publish(message(item, i)).then(
        (ack) => {
          out--
          onAck(item, ack, i)
          pump()
        },
        (error: unknown) => {
          out--
          failure ??= { error }
          pump()
        },
      )
    }
    pump()
  })

/** What becomes of an operation that failed: none of these is the caller's mistake. Anything else is thrown on. */
export const reasonOf = (error: unknown): BusError["reason"] => {
  if (error instanceof BusError) return error.reason
  throw error
}
