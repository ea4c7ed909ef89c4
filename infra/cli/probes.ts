/**
 * What the kubelet asks of a part (HEADGATE_PROBES, `[ADDRESS]:PORT`): `/healthz`, this process goes on; `/readyz`, it is
 * on the bus. Both pods of a pair are ready, the one that leads and the one that stands by.
 */
import { subscribe } from "node:diagnostics_channel"
import http from "node:http"
import { BUS_CONNECTIONS } from "../../bus/connections.ts"

/** Rejects when the port cannot be had. */
export const listenProbes = async (address: string): Promise<http.Server> => {
  const found = /^(.*):(\d{1,5})$/.exec(address)
  if (found === null) throw new Error(`HEADGATE_PROBES is [ADDRESS]:PORT, not "${address}"`)
  const connected = new Set<unknown>()
  subscribe(BUS_CONNECTIONS, (message) => {
    if (typeof message !== "object" || message === null || !("bus" in message) || !("isConnected" in message)) return
    if (message.isConnected === true) connected.add(message.bus)
    else connected.delete(message.bus)
  })
  const server = http.createServer((request, response) => {
    const say = (status: number, text: string): void => void response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${text}\n`)
    if (request.url === "/healthz") say(200, "ok")
    else if (request.url === "/readyz") say(connected.size > 0 ? 200 : 503, connected.size > 0 ? "ok" : "the bus cannot be reached")
    else say(404, "there are /healthz and /readyz")
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen({ port: Number(found[2]), ...(found[1] === undefined || found[1] === "" ? {} : { host: found[1] }) }, resolve)
  })
  // The part ends as it always does.
  server.unref()
  return server
}
