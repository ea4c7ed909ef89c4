/** How many series a scrape of a large gateway has: none a route, a host, an endpoint, a client or a path. */
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import http from "node:http"
import net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "vitest"
import { canonical } from "../bus/canonical.ts"
import { memoryStore } from "../bus/memory.ts"
import { configSubject } from "../bus/subject.ts"
import type { StagedChange } from "../bus/unit/unit.ts"
import { openUnit } from "../bus/unit/writer.ts"
import { freePorts } from "../test/fixtures/ports.ts"
import { parseFlags } from "./flags.ts"
import { startGateway } from "./main.ts"
import { listener, match, route, rule } from "./table/fixture.ts"

const ROUTES = 5_000
/** As many as a Gateway may have, each on a port of its own, half of them with TLS. */
const LISTENERS = 64
const ENDPOINTS = 3
const MOST = 5_000

it("5,000 routes to 15,000 endpoints on 64 ports, asked in every way: under 5,000 series", async () => {
  await using closing = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), "headgate-series-"))
  closing.defer(() => rm(folder, { recursive: true, force: true }))
  const ports = await freePorts(LISTENERS)
  const store = memoryStore()
  const open = (fn: string) => openUnit(store.bus(), { unit: { plane: "default", fn }, epoch: 1, writer: "test", version: "1", onSteppedDown: () => {} })
  const entry = (section: string, id: string, value: unknown): StagedChange => ({ subject: configSubject("default", section, id), body: canonical(value), causes: [] })
  const [routes, endpoints] = await Promise.all([open("routes"), open("endpoints")])
  const numbers = Array.from({ length: ROUTES }, (_, i) => i)
  endpoints.stage(numbers.map((i) => entry("cluster", `c${i}`, {
    schema: 1, source: { kind: "Service", namespace: "default", name: `c${i}` }, protocol: "http",
    // Nobody listens there: what is counted is what a failure counts too.
    endpoints: Array.from({ length: ENDPOINTS }, (_unused, n) => ({ address: `127.${1 + n}.${i >> 8}.${i & 255}`, port: 9 })),
  })))
  routes.stage([
    entry("plan", "plan", { schema: 1, functions: ["endpoints", "routes"] }),
    ...ports.map((port, i) => entry("listener", `gw/l${i}`, listener(`l${i}`, i % 2 === 0 ? { port } : { port, protocol: "HTTPS", tls: { certificates: [] } }))),
    ...numbers.map((i) => entry("route", `httproute/default/r${i}`, route(`r${i}`, [rule([match(`/${i}`)], `c${i}`)], { on: `gw/l${i % LISTENERS}`, hosts: [`h${i}.test`] }))),
  ])
  await Promise.all([routes.settled(), endpoints.settled()])
  const flags = parseFlags(["--pod", "p", "--bind", "127.0.0.1", "--admin", "127.0.0.1:0", "--data", folder, "--access-log", "off"], {})
  if (flags === "help") throw new TypeError("help")
  const gateway = await startGateway(flags, () => {})
  closing.defer(() => gateway.stop())
  gateway.attach(store.bus())
  await expect.poll(() => gateway.applied().ready, { timeout: 20_000 }).toBe(true)

  const agent = new http.Agent({ keepAlive: true })
  closing.defer(() => agent.destroy())
  const ask = (i: number, path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      http.request({ agent, host: "127.0.0.1", port: ports[i % LISTENERS], path, method: ["GET", "PUT", "REPORT"][i % 3], headers: { host: `h${i}.test`, "user-agent": `a${i}` } }, (answer) => {
        answer.resume()
        answer.on("end", () => resolve(answer.statusCode ?? 0))
      }).on("error", reject).end()
    })
  const statuses = new Set<number>()
  for (let i = 0; i < 2 * LISTENERS; i += 2) for (const path of [`/${i}/${i}`, `/none/${i}`]) statuses.add(await ask(i, path))
  expect([...statuses].sort()).toEqual([404, 503])
  // Who does not speak TLS there is counted by reason.
  for (const port of ports.filter((_, i) => i % 2 === 1)) {
    const socket = net.connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\n\r\n"))
    socket.resume()
    await once(socket, "close")
  }

  const text = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`)).text()
  const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
  expect(new Set(series.map((line) => line.slice(0, line.lastIndexOf(" ")))).size).toBe(series.length)
  expect(series.find((line) => line.startsWith("headgate_upstream_endpoints "))).toBe(`headgate_upstream_endpoints ${ROUTES * ENDPOINTS}`)
  expect(series.length).toBeGreaterThan(LISTENERS * 30)
  expect(series.length).toBeLessThan(MOST)
  // With TLS on all of them too.
  const ofTls = series.filter((line) => line.startsWith("headgate_tls_")).length
  expect(ofTls).toBeGreaterThanOrEqual((LISTENERS / 2) * 12)
  expect(series.length + ofTls).toBeLessThan(MOST)
  expect(text).not.toMatch(/h\d+\.test|httproute|c\d+"|127\.\d/)
}, 60_000)
