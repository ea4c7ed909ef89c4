/** What the admin port shows to whom, by real requests; "another machine" is one whose address is not of 127.0.0.0/8. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import http, { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { AdminToken, isLoopback, refusalOf } from "./admin-access.ts"
import { listenAdmin } from "./admin.ts"
import { parseFlags } from "./flags.ts"

const TOKEN = "0123456789abcdef0123456789abcdef"
let folder = ""
let file = ""
const servers: http.Server[] = []
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "headgate-admin-"))
  file = join(folder, "token")
  writeFileSync(file, `${TOKEN}\n`)
})
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const start = async (tokenFile: string | undefined): Promise<number> => {
  const server = await listenAdmin({
    host: "127.0.0.1", port: 0, orAnother: false, tokenFile, state: () => ({}), units: () => new Map(), reload: async () => {}, restart: async () => 1, metrics: () => "headgate_ready 1\n", fd: undefined,
    applied: () => ({ schema: 1, pod: "p", plane: "default", ready: true, admin: "", units: {}, listeners: [], notes: [] }),
  })
  servers.push(server)
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}
const status = (port: number, path: string, headers: http.OutgoingHttpHeaders = {}, method = "GET"): Promise<number> =>
  new Promise((resolve, reject) => {
    http.request({ port, host: "127.0.0.1", path, method, headers, agent: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    }).on("error", reject).end()
  })

/** A request as it arrives from an address. */
const asked = (remoteAddress: string, headers: http.IncomingHttpHeaders): IncomingMessage => {
  const socket = new Socket()
  Object.defineProperty(socket, "remoteAddress", { value: remoteAddress })
  return Object.assign(new IncomingMessage(socket), { headers })
}

test("who is on this machine may ask everything, by its address or as localhost", async () => {
  const port = await start(undefined)
  for (const host of [`127.0.0.1:${port}`, "localhost", "[::1]:9901"]) expect([await status(port, "/config", { host }), await status(port, "/reload", { host }, "POST")]).toEqual([200, 200])
})

test("a page in a browser on this machine may not have it read everything again or restart: it says by its Origin what it is", async () => {
  const port = await start(undefined)
  const page = { host: `127.0.0.1:${port}`, origin: "http://page.test" }
  expect([await status(port, "/reload", page, "POST"), await status(port, "/restart", page, "POST"), await status(port, "/readyz", page)]).toEqual([403, 403, 200])
})

test("a page that came by another name to this machine may not, but for probes and metrics, and with the token", async () => {
  const port = await start(file)
  const host = `rebound.test:${port}`
  expect([await status(port, "/config", { host }), await status(port, "/reload", { host }, "POST"), await status(port, "/restart", { host }, "POST"), await status(port, "/nothing", { host })]).toEqual([403, 403, 403, 403])
  expect(await Promise.all(["/healthz", "/readyz", "/metrics"].map((path) => status(port, path, { host })))).toEqual([200, 200, 200])
  expect(await status(port, "/config", { host, authorization: `Bearer ${TOKEN}` })).toBe(200)
})

test("from another machine it takes the token, whole and as a bearer token", () => {
  const token = new AdminToken(file)
  const from = (authorization: string | undefined): IncomingMessage => asked("192.0.2.7", { host: "127.0.0.1", ...(authorization === undefined ? {} : { authorization }) })
  const refused = (authorization: string | undefined): number | undefined => refusalOf(from(authorization), token)
  expect([refused(`Bearer ${TOKEN}`), refused(`bearer ${TOKEN}`)]).toEqual([undefined, undefined])
  for (const wrong of [undefined, "", "Bearer", "Bearer ", `Bearer ${TOKEN.slice(1)}`, `Bearer ${TOKEN}0`, `Basic ${TOKEN}`, TOKEN, `Bearer ${TOKEN} x`]) expect(refused(wrong)).toBe(401)
  expect([refusalOf(from(`Bearer ${TOKEN}`), undefined), refusalOf(asked("2001:db8::1", { host: "localhost" }), undefined)]).toEqual([401, 401])
})

test("a token that is changed in its file is taken from then on, and one that cannot be read keeps the last", async () => {
  const own = join(folder, "changing")
  writeFileSync(own, "a".repeat(16))
  const token = new AdminToken(own)
  writeFileSync(own, "b".repeat(16))
  await expect.poll(() => token.isIn(`Bearer ${"b".repeat(16)}`), { timeout: 5_000 }).toBe(true)
  expect(token.isIn(`Bearer ${"a".repeat(16)}`)).toBe(false)
  rmSync(own)
  expect(token.isIn(`Bearer ${"b".repeat(16)}`)).toBe(true)
})

test("a file that is not there, or holds no token, ends the start with what to do", async () => {
  await expect(start(join(folder, "none"))).rejects.toThrow(/--admin-token-file.*ENOENT/)
  for (const text of ["", "short", "two words of 16 and more"]) {
    writeFileSync(join(folder, "bad"), text)
    expect(() => new AdminToken(join(folder, "bad"))).toThrow(/openssl rand -hex 32/)
  }
})

test("an admin port that others can reach needs a token's file", () => {
  const parse = (...argv: string[]): unknown => parseFlags(argv, {})
  for (const admin of ["0.0.0.0:9901", "[::]:9901", "10.0.0.1:9901", "admin.test:9901"]) {
    expect(() => parse("--admin", admin)).toThrow(/can be reached from other machines.*--admin-token-file.*--probes/)
    expect(parse("--admin", admin, "--admin-token-file", file)).toMatchObject({ adminToken: file })
  }
  expect(parseFlags(["--admin", "0.0.0.0:9901"], { HEADGATE_ADMIN_TOKEN_FILE: file })).toMatchObject({ adminToken: file })
  for (const admin of ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "localhost:1", ":1"]) expect(parse("--admin", admin)).toMatchObject({ adminToken: undefined })
})

test.each([["127.0.0.1", true], ["127.255.0.3", true], ["::1", true], ["::ffff:127.0.0.1", true], ["localhost", true], ["0.0.0.0", false], ["::", false], ["127.0.0.1.evil.test", false], ["::ffff:10.0.0.1", false], ["", false]])(
  "%s is of this machine: %s", (host, is) => expect(isLoopback(host)).toBe(is))
