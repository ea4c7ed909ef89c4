/** A gateway with TLS before one backend: real entries, compiled and presented as in the process, on a port of its own. */
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import net from "node:net"
import { join } from "node:path"
import tls from "node:tls"
import type { Listener, Route } from "../../bus/kinds/config.ts"
import { Redacted } from "../../bus/redacted.ts"
import { planeKey, type PlaneKey } from "../../bus/seal.ts"
import { HttpServer, socketOptions } from "../../gateway/server.ts"
import { defaults, type Settings } from "../../gateway/settings.ts"
import type { Batch } from "../../gateway/table/compile.ts"
import { listener, match, route, rule } from "../../gateway/table/fixture.ts"
import { HostIndex } from "../../gateway/table/host.ts"
import { CompiledPort, type CompiledListener } from "../../gateway/table/port.ts"
import { Certificates } from "../../gateway/tls/certificates.ts"
import { PlaneKeyFile } from "../../gateway/tls/plane-key.ts"
import { AccessLog } from "../../gateway/telemetry/access-log.ts"
import { Metrics } from "../../gateway/telemetry/metrics.ts"
import { Endpoints } from "../../gateway/upstream/endpoints.ts"
import { LocalWorker } from "../../gateway/workers.ts"
import { Authority, certificateEntry, type Issued } from "../fixtures/authority.ts"

const PORT = 443

export interface SecureGateway {
  readonly port: number
  readonly metrics: Metrics
  readonly certificates: Certificates
  readonly worker: LocalWorker
  readonly http: HttpServer
  readonly planeKey: PlaneKey
  apply(batch: Batch): void
  /** As the entry of Secret `default/<name>`. */
  present(name: string, issued: Issued): void
  stop(): Promise<void>
}

/** id of the entry of Secret `default/<name>`. */
export const secretId = (name: string): string => `secret/default/${name}`

/** An HTTPS listener that names these Secrets. */
export const secureListener = (name: string, secrets: readonly string[], more: Partial<Listener> = {}): Listener =>
  listener(name, { protocol: "HTTPS", port: PORT, tls: { certificates: secrets.map(secretId) }, ...more })

/** Everything to the cluster `c`, on these listeners. */
export const everything = (...listeners: readonly string[]): Route => route("all", [rule([match("/")])], { attach: listeners.map((id) => ({ listener: id, hostnames: ["*"] })) })

/** `backend`: port of the one endpoint of cluster `c`. Listeners and certificates are applied by the test. */
export const startSecureGateway = async (authority: Authority, backend: number, options: { readonly settings?: Partial<Settings>; readonly logTo?: number } = {}): Promise<SecureGateway> => {
  const settings: Settings = { ...defaults, accessLog: false, ...options.settings }
  const metrics = new Metrics()
  const endpoints = new Endpoints(settings, metrics.upstream)
  const secret = randomBytes(32)
  const keyFile = join(authority.folder, `plane-${randomBytes(4).toString("hex")}.key`)
  writeFileSync(keyFile, secret.toString("hex"), { mode: 0o600 })
  const sealing = planeKey(new Redacted(secret))
  const certificates = new Certificates({ plane: "default", key: new PlaneKeyFile(keyFile), onNotes: () => {} })
  const worker = new LocalWorker({ endpoints, certificates, onSwap: () => {} })
  const apply = (batch: Batch): void => void worker.apply(batch)
  apply({ clusters: new Map([["c", { schema: 1, source: { kind: "Service", namespace: "default", name: "c" }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: backend }] }]]) })
  const server = net.createServer(socketOptions)
  const none = new CompiledPort(PORT, "HTTPS", HostIndex.empty<CompiledListener>())
  const accessLog = options.logTo === undefined ? null : new AccessLog(options.logTo, metrics)
  const http = new HttpServer({ net: server, port: PORT, table: () => worker.table.ports.get(`*:${PORT}`) ?? none, settings, metrics, accessLog })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return {
    port: address.port, metrics, certificates, worker, http, planeKey: sealing, apply,
    present: (name, issued) => apply({ certificates: new Map([[secretId(name), certificateEntry(name, issued, sealing)]]) }),
    stop: async () => {
      await http.drain(0)
      await accessLog?.flushed()
      worker.stop()
      certificates.stop()
      endpoints.close()
    },
  }
}

/** A client's connection once its handshake is done. Rejects with what went wrong. */
export const handshake = (port: number, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options }, () => {
      socket.off("error", reject)
      resolve(socket)
    })
    socket.once("error", reject)
  })
