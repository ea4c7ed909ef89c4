import { createServer, type IncomingMessage } from "node:http"
import { afterEach, expect, it } from "vitest"
import { otlpSender } from "./otlp.ts"
import { pairsOf } from "./pairs.ts"

interface Asked {
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

const servers: (() => Promise<void>)[] = []
afterEach(async () => { for (const stop of servers.splice(0)) await stop() })

/** A collector that answers with these statuses in turn, the last one for good. */
const collector = async (...statuses: readonly number[]) => {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    let body = ""
    request.setEncoding("utf8").on("data", (text: string) => (body += text)).on("end", () => {
      response.statusCode = statuses[Math.min(asked.length, statuses.length - 1)] ?? 200
      asked.push({ headers: request.headers, body })
      response.end("{}")
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  servers.push(() => new Promise((resolve) => {
    server.closeAllConnections()
    server.close(() => resolve())
  }))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("no port")
  return { asked, url: `http://127.0.0.1:${address.port}/v1/traces` }
}

const logged = () => {
  const lines: string[] = []
  return { lines, log: (_level: string, message: string, fields?: Readonly<Record<string, unknown>>) => void lines.push(`${message}: ${String(fields?.["reason"])}`) }
}

it("posts JSON with the headers that are given, those for traces last", async () => {
  const { asked, url } = await collector(200)
  const { log, lines } = logged()
  await otlpSender(url, { OTEL_EXPORTER_OTLP_HEADERS: "authorization=Basic%20abc,x-tenant=a", OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-tenant=b" }, log)(`{"resourceSpans":[]}`)
  expect(asked).toMatchObject([{ body: `{"resourceSpans":[]}`, headers: { "content-type": "application/json", authorization: "Basic abc", "x-tenant": "b" } }])
  expect(lines).toEqual([])
})

it("tries again when a collector is busy, and not when it refuses; that is said once until it works again", async () => {
  const busy = await collector(503, 200)
  const { log, lines } = logged()
  await otlpSender(busy.url, {}, log)("{}")
  expect(busy.asked).toHaveLength(2)
  const refusing = await collector(400, 400, 200, 400)
  const send = otlpSender(refusing.url, {}, log)
  for (let i = 0; i < 4; i++) await send("{}")
  expect(refusing.asked).toHaveLength(4)
  expect(lines).toEqual(["traces cannot be sent: status 400", "traces cannot be sent: status 400"])
})

it("a collector that is not there is given up, without an error", async () => {
  const { log, lines } = logged()
  await otlpSender("http://127.0.0.1:9/v1/traces", { OTEL_EXPORTER_OTLP_TIMEOUT: "200" }, log)("{}")
  expect(lines).toEqual(["traces cannot be sent: it does not take them"])
})

it("pairs are read as the OTEL_ variables have them", () => {
  expect(pairsOf("a=1, b = x%2Cy ,=no,none,c=50%")).toEqual({ a: "1", b: "x,y", c: "50%" })
  expect(pairsOf(undefined)).toEqual({})
})
