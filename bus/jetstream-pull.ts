/**
 * Asks a consumer for its messages, so that there is always more asked for than has come, and never so much under way
 * that the server would take the connection for a slow one. Not the client's own consume(): that ends with its
 * iterator, and what ends a pull must be known here at once.
 */
import type { Msg, NatsConnection } from "@nats-io/transport-node"

/** Messages and bytes of one pull; at most two are under way. A pull of 5,000 small ones is 3 MB, parts have 256 KB each. */
const BATCH = 5000
const BYTES = 8 * 1024 * 1024
/** ms until the server ends a pull; the next is asked for when it has. Less than a service import remembers who asked (2 minutes). */
const EXPIRES = 30_000

export interface Puller {
  /** A message has come. */
  taken(): void
  /** The server's word on a pull; false when the consumer is of no more use. */
  told(status: Msg): boolean
}

/** Pulls at once. `subject`: of the consumer's next messages, `reply`: where they come. `heartbeat` in ms. */
export const pull = (connection: NatsConnection, subject: string, reply: string, heartbeat: number): Puller => {
  const request = JSON.stringify({ batch: BATCH, max_bytes: BYTES, expires: EXPIRES * 1_000_000, idle_heartbeat: heartbeat * 1_000_000 })
  /** Messages asked for that have not come. */
  let asked = 0
  const refill = (): void => {
    if (asked >= BATCH / 2) return
    asked += BATCH
    connection.publish(subject, request, { reply })
  }
  refill()
  return {
    taken: () => {
      asked--
      refill()
    },
    told: ({ headers }) => {
      const code = headers?.code
      if (code === HEARTBEAT) return true
      if (code !== TIMED_OUT && headers?.description !== BYTES_ARE_FULL) return false
      // What was asked for and will not come with this pull.
      asked = Math.max(0, asked - Number(headers?.get("Nats-Pending-Messages")))
      refill()
      return true
    },
  }
}

const HEARTBEAT = 100
const TIMED_OUT = 408
const BYTES_ARE_FULL = "Message Size Exceeds MaxBytes"
