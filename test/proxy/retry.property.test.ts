/** Whatever backends do: what must not happen twice does not, bodies are whole, and each client gets one answer, a good one while attempts last. */
import fc from "fast-check"
import { afterEach, expect, test } from "vitest"
import { runs } from "../fixtures/runs.ts"
import { startBackend, startGateway, type Backend, type Gateway, type Peer } from "./scripted.ts"

let gateway: Gateway
let backends: readonly Backend[] = []

afterEach(async () => {
  await gateway.stop()
  await Promise.all(backends.map((each) => each.stop()))
})

const ATTEMPTS = 2
/** What a backend does with the next request it reads. */
const deeds = ["ok", "503", "503 early", "500 and close", "reset", "end", "silence", "nonsense"] as const
type Deed = (typeof deeds)[number]

interface Got {
  readonly id: string
  readonly body: string
}

const serve = (deeds: Deed[], got: Got[]) => (peer: Peer): void => {
  const next = async (): Promise<void> => {
    for (;;) {
      const head = await peer.hear("\r\n\r\n")
      const id = /^\S+ \/(\d+)/.exec(head)?.[1] ?? ""
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
      const deed = deeds.shift() ?? "ok"
      const answer = (status: number, more = ""): void => peer.say(`HTTP/1.1 ${status} X\r\n${more}Content-Length: ${id.length}\r\n\r\n${id}`)
      if (deed === "503 early") {
        got.push({ id, body: "" })
        answer(503)
      }
      const body = await peer.hearOctets(length)
      if (deed === "503 early") continue
      got.push({ id, body })
      if (deed === "ok") answer(200)
      else if (deed === "503") answer(503)
      else if (deed === "500 and close") {
        answer(500, "Connection: close\r\n")
        peer.socket.end()
      } else if (deed === "reset") peer.socket.resetAndDestroy()
      else if (deed === "end") peer.socket.end()
      else if (deed === "nonsense") peer.say("HTTP/9 nonsense\r\n\r\n")
    }
  }
  // A wait that is over: nothing came for a while, or the connection has ended.
  const start = (): void => void next().catch(() => {
    if (!peer.isClosed) start()
  })
  start()
}

const request = fc.record({ method: fc.constantFrom("GET", "PUT", "DELETE", "POST", "PATCH"), body: fc.constantFrom("", "b", "body".repeat(10), "x".repeat(60)) })

test("no request that is not idempotent reaches backends twice, others no more often than allowed, with their whole body", { timeout: runs(60_000) }, async () => {
  const script: Deed[] = []
  const got: Got[] = []
  backends = [await startBackend(serve(script, got)), await startBackend(serve(script, got))]
  gateway = await startGateway(backends.map(({ port }) => port), {
    settings: { keptBodyBytes: 50, retryRate: 1_000, ejectAfter: 1_000_000 },
    rule: { retry: { codes: new Set([500, 503]), attempts: ATTEMPTS, backoff: 0 } },
    // Only where a backend says nothing an attempt takes too long: a busy machine is no failure.
    find: (_, rule) => ({ ...rule, backendTimeout: script.includes("silence") ? 250 : 0 }),
  })
  let id = 0
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 4 }), fc.array(fc.constantFrom(...deeds), { maxLength: 8 }), async (requests, next) => {
      script.splice(0, script.length, ...next)
      const client = await gateway.connect()
      for (const { method, body } of requests) {
        const own = String(++id)
        const length = body === "" && (method === "GET" || method === "DELETE") ? "" : `Content-Length: ${body.length}\r\n`
        got.length = 0
        const ahead = [...script]
        client.say(`${method} /${own} HTTP/1.1\r\nHost: h\r\n${length}\r\n${body}`)
        const answer = await client.message()
        const copies = got.filter((each) => each.id === own)
        if (method === "POST" || method === "PATCH") expect(copies.length).toBeLessThanOrEqual(1)
        // Beside them one for a pooled connection that had closed, of what has no body.
        expect(copies.length).toBeLessThanOrEqual(ATTEMPTS + 1 + (body === "" ? 1 : 0))
        if (body.length > 50) expect(copies.length).toBeLessThanOrEqual(1)
        for (const copy of copies) expect([body, ""]).toContain(copy.body)
        const failures = ahead.slice(0, ahead.length - script.length).filter((deed) => deed !== "ok")
        const allowed = method === "POST" || method === "PATCH" || body.length > 50 ? 0 : ATTEMPTS
        // What is no answer at all is not asked for again.
        if (failures.length <= allowed && !failures.includes("nonsense")) expect({ method, size: body.length, failures, status: answer.status }).toEqual({ method, size: body.length, failures, status: 200 })
        if (answer.status === 200) expect([answer.body, copies.at(-1)?.body]).toEqual([own, body])
        if (answer.field("connection") === "close") break
      }
      expect(client.heard).toBe("")
      client.socket.destroy()
    }),
    { numRuns: runs(40) },
  )
  expect(gateway.metrics.upstream.retries).toBeGreaterThan(0)
  expect(gateway.cluster.endpoints.map(({ address, port }) => gateway.endpoints.get(address, port).inFlight)).toEqual([0, 0])
})
