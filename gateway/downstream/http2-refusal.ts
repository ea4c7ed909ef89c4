/** Requests of HTTP/2 that the engine answered before an exchange had them: counted and written down as those of HTTP/1.1. */
import { tick } from "../clock.ts"
import type { Forwarding } from "../http1/write.ts"
import type { HttpServer } from "../server.ts"
import type { Secure } from "../tls/handshake.ts"

/** Fields that were not judged are not shown: `method` and `host` may be "". */
export const logRefusal = ({ server, forwarding, secure }: { readonly server: HttpServer; readonly forwarding: Forwarding; readonly secure: Secure | null }, status: number, method: string, host: string, reason: string): void => {
  server.metrics.done(status, 0)
  server.accessLog?.write({
    start: tick(), milliseconds: 0, id: server.requestId(), client: forwarding.address, method, host, path: "", protocol: "HTTP/2", status, bytes: 0, received: -1,
    userAgent: "", route: "", upstream: "", attempts: 0, grpc: -1, reason, tls: secure?.version ?? "",
  })
}
