/**
 * Asks a consumer for its messages, so that there is always more asked for than has come, and not so much under way
 * that the server would take the connection for a slow one. Not the client's own consume(): that ends with its
 * iterator, and what ends a pull must be known here at once.
 */
import type { Msg, NatsConnection } from "@nats-io/transport-node"

/** Bytes under way at once, about: at most two pulls. The server drops a connection that leaves 64 MB waiting. */
const BYTES = 8 * 1024 * 1024
const FEWEST = 16
const MOST = 2000
/** ms until the server ends a pull; the next is asked for when it has. Less than a service import remembers who asked (2 minutes). */
const EXPIRES = 30_000

export interface Puller {
  /** A message of so many bytes has come. */
  taken(bytes: number): void
  /** The server's word on a pull; false when the consumer is of no more use. */
  told(status: Msg): boolean
}

/**
 * Pulls at once. `subject`: of the consumer's next messages, `reply`: where they come. `heartbeat` in ms. Measured by
 * messages, never by the request's `max_bytes`: a message that does not fit is then lost to a consumer that begins with
 * the last of each subject (nats-server 2.15.1; a count of what is pending stays above zero for ever).
 */
export const pull = (connection: NatsConnection, subject: string, reply: string, heartbeat: number): Puller => {
  /** Messages asked for that have not come. */
  let asked = 0
  /** The largest of late, bytes. */
  let large = 32 * 1024
  const refill = (): void => {
    const batch = Math.min(MOST, Math.max(FEWEST, Math.floor(BYTES / large)))
    if (asked > batch / 2) return
    asked += batch
    connection.publish(subject, JSON.stringify({ batch, expires: EXPIRES * 1_000_000, idle_heartbeat: heartbeat * 1_000_000 }), { reply })
  }
  refill()
  return {
    taken: (bytes) => {
      asked--
      large = Math.max(bytes, large * 0.99)
      refill()
    },
    told: ({ headers }) => {
      if (headers?.code === HEARTBEAT) return true
      if (headers?.code !== TIMED_OUT) return false
      // What was asked for and will not come with this pull.
      asked = Math.max(0, asked - Number(headers.get("Nats-Pending-Messages")))
      refill()
      return true
    },
  }
}

const HEARTBEAT = 100
const TIMED_OUT = 408
