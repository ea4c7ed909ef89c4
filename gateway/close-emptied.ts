/**
 * Closing a socket that shares its address with others (SO_REUSEPORT). The kernel gives each its own queue of
 * connections, chosen by hash, and resets what waits in the queue of one that is closed, unless net.ipv4.tcp_migrate_req
 * is 1 (then it goes to another one's). The queue cannot be shut before, so it is closed in the moment when it was seen to be empty.
 *
 * What remains: who connects between that look and the close, tens of microseconds after it, is reset.
 */
import type { Server } from "node:net"

/** A turn of the event loop longer than this says little of the queue at its end. */
const SHORT_MS = 0.1
/** Then a longer one will do, and in the end any: it is to close. */
const PATIENCE_MS = 50
const MOST_MS = 1_000

/**
 * Closes a listening server as soon as a turn of the event loop has brought no connection: each turn takes one where
 * there is one. Resolves then.
 *
 * @param accepted connections so far
 */
export const closeEmptied = (server: Server, accepted: () => number): Promise<void> =>
  new Promise((resolve) => {
    const begin = performance.now()
    let before = -1
    let turned = begin
    const turn = (): void => {
      const now = performance.now()
      const isEmpty = accepted() === before && (now - turned < SHORT_MS || now - begin > PATIENCE_MS)
      if (isEmpty || now - begin > MOST_MS) {
        server.close()
        resolve()
        return
      }
      before = accepted()
      turned = now
      setImmediate(turn)
    }
    setImmediate(turn)
  })
