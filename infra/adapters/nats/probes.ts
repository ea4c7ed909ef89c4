/** What the kubelet asks: nats-server's own word on its health, which is told to this machine alone. */
import http from "node:http"
import { request } from "undici"
import type { Settings } from "./configuration.ts"

/**
 * `/healthz`: this process runs. `/readyz`: nats-server has its streams' state, takes connections, and stores what it is
 * given: `why` tells why it does not, as nats-server itself says nothing of that here. Among peers it has found them too: the
 * next one is not replaced before. Rejects when the port cannot be had.
 */
export const listenProbes = async ({ host, port }: { readonly host: string; readonly port: number }, { ports: { monitor }, peers }: Pick<Settings, "ports" | "peers">, why: () => string | undefined): Promise<http.Server> => {
  const server = http.createServer((asked, answer) => {
    const say = (status: number, text: string): void => void answer.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${text}\n`)
    if (asked.url === "/healthz") return say(200, "ok")
    if (asked.url !== "/readyz") return say(404, "there are /healthz and /readyz")
    void health(monitor, peers.length === 0 ? "js-server-only" : "js-meta-only").then((unwell) => {
      const reason = unwell ?? why()
      say(reason === undefined ? 200 : 503, reason ?? "ok")
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ port, ...(host === "" ? {} : { host }) }, resolve)
  })
  return server
}

/** Why not; undefined: well. */
const health = async (monitor: number, what: string): Promise<string | undefined> => {
  try {
    const { statusCode, body } = await request(`http://127.0.0.1:${monitor}/healthz?${what}=true`, { headersTimeout: 2000, bodyTimeout: 2000 })
    const text = await body.text()
    return statusCode === 200 ? undefined : text.slice(0, 300)
  } catch (error) {
    return `nats-server does not answer: ${error instanceof Error ? error.message : String(error)}`
  }
}
