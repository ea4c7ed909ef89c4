/** What rules do to requests, over HTTP/2 as over HTTP/1.1. */
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import type http2 from "node:http2"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, test } from "vitest"
import { compileCors } from "../../gateway/filters/cors.ts"
import type { CompiledRule } from "../../gateway/table/table.ts"
import { Authority } from "../fixtures/authority.ts"
import { ask, session } from "./http2.ts"
import { OK, answering, eventually, startBackend, startGateway, type Backend, type Gateway, type GatewayOptions, type Heard, type Peer } from "./scripted.ts"
import { everything, secureListener, startSecureGateway } from "./secure.ts"

let backend: Backend
let gateway: Gateway | undefined
let client: http2.ClientHttp2Session | undefined
const begin = async (onPeer?: (peer: Peer) => void, options: GatewayOptions = {}): Promise<http2.ClientHttp2Session> => {
  backend = await startBackend(onPeer)
  gateway = await startGateway([backend.port], options)
  return (client = await session(gateway.port))
}
afterEach(async () => {
  client?.destroy()
  client = undefined
  await gateway?.stop()
  gateway = undefined
  await backend.stop()
})

test("edits of heads, Via and the access log name the version", async () => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-http2-"))
  try {
    const log = join(folder, "access.log")
    const heard: Heard[] = []
    const own = await begin(answering((request) => {
      heard.push(request)
      return OK
    }), {
      settings: { accessLog: true, via: "gw" }, logTo: openSync(log, "a"),
      rule: {
        requestHeaders: (head) => head.set("X-Set", "1"),
        responseHeaders: (head) => {
          head.add("X-Added", "2")
          head.remove("Content-Type")
        },
      },
    })
    expect((await ask(own, { ":path": "/p?q", "user-agent": "me" })).headers["x-added"]).toBe("2")
    expect([heard[0]?.field("x-set"), heard[0]?.field("via")]).toEqual(["1", "2.0 gw"])
    await eventually("the log has it", () => readFileSync(log, "utf8") !== "")
    expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ protocol: "HTTP/2", method: "GET", host: "example.com", path: "/p", status: 200, bytes: 2, agent: "me" })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test("a preflight is answered here, and other answers say whom they are shared with", async () => {
  const cors = compileCors({ type: "cors", origins: ["https://a.test"], methods: ["PUT"], headers: [], exposed: [], credentials: false, maxAge: 60 })
  const own = await begin(answering(() => OK), { rule: { cors } })
  const preflight = await ask(own, { ":method": "OPTIONS", origin: "https://a.test", "access-control-request-method": "PUT" })
  expect([preflight.status, preflight.headers["access-control-allow-methods"]]).toEqual([204, "PUT"])
  expect((await ask(own, { origin: "https://a.test" })).headers["access-control-allow-origin"]).toBe("https://a.test")
})

test("a PUT with content is sent again after a status of the rule's, and a mirror gets it whole", async () => {
  const shadow = await startBackend()
  try {
    let turn = 0
    const bodies: string[] = []
    let made: CompiledRule | undefined
    const own = await begin(answering((request) => {
      bodies.push(request.body)
      return turn++ === 0 ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" : OK
    }), {
      rule: { retry: { codes: new Set([503]), attempts: 2, backoff: 1 } },
      find: (_, rule) => (made ??= { ...rule, mirrors: gateway === undefined ? [] : [{ cluster: { id: "m", isHttp2: false, endpoints: [gateway.endpoints.get("127.0.0.1", shadow.port)], emptyStatus: 503, turn: 0 }, isDue: () => true }] }),
    })
    const asked = ask(own, { ":method": "PUT" }, "content")
    const copy = await shadow.accept()
    expect((await copy.message()).body).toBe("content")
    copy.say(OK)
    expect((await asked).status).toBe(200)
    expect(bodies).toEqual(["content", "content"])
  } finally {
    await shadow.stop()
  }
})

test("one connection for two hosts: 421 for the other listener's, per stream", async () => {
  const authority = new Authority()
  backend = await startBackend(answering(() => OK))
  const secure = await startSecureGateway(authority, backend.port)
  try {
    secure.present("a", authority.issue(["a.test"]))
    secure.present("b", authority.issue(["b.test"]))
    secure.apply({ listeners: new Map([["a", secureListener("a", ["a"], { hostname: "a.test" })], ["b", secureListener("b", ["b"], { hostname: "b.test" })]]), routes: new Map([["all", everything("a", "b")]]) })
    client = await session(secure.port, { servername: "a.test", ca: authority.certificate, checkServerIdentity: () => undefined }, "https")
    const statuses = await Promise.all(["a.test", "b.test", "a.test"].map(async (host) => (await ask(client ?? expect.fail("no client"), { ":authority": host, ":scheme": "https" })).status))
    expect(statuses).toEqual([200, 421, 200])
  } finally {
    client?.destroy()
    await secure.stop()
    authority.end()
  }
})

test("a port that has become https answers what comes in clear 421 and asks its client to go", async () => {
  let protocol: "HTTP" | "HTTPS" = "HTTP"
  const own = await begin(answering(() => OK), { table: (table) => ({ ...table, protocol }) })
  expect((await ask(own)).status).toBe(200)
  const closed = new Promise<void>((resolve) => own.once("close", resolve))
  protocol = "HTTPS"
  expect((await ask(own)).status).toBe(421)
  await closed
})
