/**
 * The data path alone, serving a generated table of routes: 500 hosts with 10 path prefixes each, all to the backends
 * given. `node test/bench/proxy-entry.ts <port> <routes> <backend port>…`; settings from the environment. Prints one
 * line when it listens; ends on SIGTERM.
 */
import net from "node:net"
import { Endpoints } from "../../gateway/upstream/endpoints.ts"
import { HttpServer, socketOptions } from "../../gateway/server.ts"
import { environmentOf, parseSettings, settingNames } from "../../gateway/settings.ts"
import type { ClusterHandle, CompiledBackend, CompiledRule, PortTable } from "../../gateway/table/table.ts"
import { AccessLog } from "../../gateway/telemetry/access-log.ts"
import { Metrics } from "../../gateway/telemetry/metrics.ts"

const [port = "8080", routes = "5000", ...backends] = process.argv.slice(2)
const settings = parseSettings(Object.fromEntries(settingNames.flatMap((name) => {
  const text = process.env[environmentOf(name)]
  return text === undefined ? [] : [[name, text]]
})))
const metrics = new Metrics()
const endpoints = new Endpoints(settings, metrics.upstream)
const cluster: ClusterHandle = { id: "bench", endpoints: backends.map((own) => endpoints.get("127.0.0.1", Number(own))), emptyStatus: 503, turn: 0 }
const backend: CompiledBackend = { cluster, answer: null, requestHeaders: null, responseHeaders: null, rewrite: null, redirect: null }
const rule = (id: string): CompiledRule => ({
  id, route: id, answer: null, redirect: null, rewrite: null, requestHeaders: null, responseHeaders: null,
  pick: () => backend, requestTimeout: undefined, backendTimeout: undefined,
})
const hosts = new Map<string, Map<string, CompiledRule>>()
for (let i = 0; i < Number(routes); i++) {
  const host = `host-${Math.floor(i / 10)}.example.com`
  const prefixes = hosts.get(host) ?? new Map<string, CompiledRule>()
  hosts.set(host, prefixes.set(`/p${i % 10}`, rule(`httproute/bench/r${i}#0`)))
}
const table: PortTable = {
  port: 80,
  protocol: "HTTP",
  find: ({ host, path }) => {
    const prefixes = hosts.get(host)
    if (prefixes === undefined) return null
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      const found = prefixes.get(path.slice(0, end))
      if (found !== undefined) return found
    }
    return null
  },
}
const server = net.createServer(socketOptions)
const accessLog = settings.accessLog ? new AccessLog(1, metrics) : null
const http = new HttpServer({ net: server, port: 80, table: () => table, settings, metrics, accessLog })
server.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 }, () => process.stderr.write(`listening ${port}\n`))
process.on("SIGTERM", () => {
  http.drain(2_000).then(
    () => process.exit(0),
    () => process.exit(1),
  )
})
