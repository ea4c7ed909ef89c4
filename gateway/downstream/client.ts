/** What an exchange asks of who sent its request: a connection of HTTP/1.1 (http1-connection.ts), a stream of HTTP/2 (http2-stream.ts). */
import type { RequestHead } from "../http1/request.ts"
import type { Forwarding } from "../http1/write.ts"
import type { Exchange } from "../proxy.ts"
import type { HttpServer } from "../server.ts"
import type { Secure } from "../tls/handshake.ts"
import type { ClientConnection } from "./http1-connection.ts"

export interface Client {
  readonly server: HttpServer
  /** null: in clear. */
  readonly secure: Secure | null
  readonly forwarding: Forwarding
  /** As of HTTP/1.1, whatever the client speaks. */
  readonly head: RequestHead
  readonly exchange: Exchange
  /** The client has sent its FIN. */
  readonly hasEnded: boolean
  /** Who may become the end of a tunnel; null: not over this protocol. */
  readonly tunnelEnd: ClientConnection | null
  /** The client may go on with this connection, as far as is known when the response begins. */
  mayPersist(): boolean
  /** Hands on what waits of the request's body, and then its head if that still waits. */
  pump(): void
  /** The answer is written. `isPersistent`: as the client was told. */
  onAnswered(isPersistent: boolean): void
  /** No answer can be completed: the client must not take what it has for one. `code`: of a backend's RST_STREAM, -1: it did not send one. */
  destroy(code: number): void
}
