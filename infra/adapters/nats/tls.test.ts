/** A real nats-server, configured as in a pod: who comes in, and who does not. */
import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { createConnection } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect as connectTls } from "node:tls"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Access } from "../../../bus/access.ts"
import type { Bus, StreamName } from "../../../bus/bus.ts"
import { connectBus } from "../../../bus/jetstream.ts"
import { credentialsOf, findNatsServer, gatewayRole, roleNames } from "../../../bus/server.ts"
import type { Clock } from "../../../bus/unit/unit.ts"
import { NatsTls } from "../../../test/fixtures/nats-tls.ts"
import { numbered } from "../../../test/fixtures/numbered.ts"
import { freePorts } from "../../../test/fixtures/ports.ts"
import { until } from "../../../test/system/until.ts"
import { Accounts } from "./accounts.ts"
import { clientSubject, currentAuthority, currentLeaf, fingerprintOf, type KeyPair, serverSubject } from "./certificates.ts"
import { renderServer, type Settings } from "./configuration.ts"
import { type ServerProcess, startServer } from "./process.ts"
import { keepRenewed, writeTls } from "./renewal.ts"

const DAY = 86_400_000
const PLANES = ["shop.web", "team.web"]
const passwordOf = (role: string): string => `password of ${role}`
const passwords = { roles: new Map(roleNames([]).map((role) => [role, passwordOf(role)])), routes: "among servers" }
const planes = new Map(PLANES.map((plane) => [plane, passwordOf(gatewayRole(plane))]))

let folder: string
let settings: Settings
let server: ServerProcess
let accounts: Accounts
let tls: NatsTls
const troubles: unknown[] = []
const lines: string[] = []

/** `shown`: what of TLS; undefined: nothing. */
const as = (role: string, shown: Access["tls"] | undefined, { timeout = 5000, password = passwordOf(role) } = {}): Promise<Bus> => {
  const url = `nats://127.0.0.1:${settings.ports.clients}`
  const streams: "ensure" | readonly StreamName[] = role.startsWith("gateway.") ? ["CONFIG"] : "ensure"
  return connectBus({ url, name: role, streams, timeout, access: { url, ...credentialsOf(role, password), ...(shown === undefined ? {} : { tls: shown }) } })
}
const refused = (role: string, shown: Access["tls"] | undefined, options: { readonly password?: string } = {}): Promise<string> =>
  as(role, shown, { timeout: 0, ...options }).then(async (bus) => { await bus.close(); return "let in" }, (error: unknown) => String(error))

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-tls-"))
  const [clients = 0, routes = 0, monitor = 0] = await freePorts(3)
  tls = new NatsTls(join(folder, "tls"))
  const files = tls.server()
  settings = { name: "n0", store: join(folder, "store"), peers: [], address: "127.0.0.1", ports: { clients, routes, monitor } }
  server = startServer({ binary: await findNatsServer(), file: join(folder, "nats.conf"), configuration: renderServer(settings, { ...passwords, planes }, files), log: (line) => void lines.push(line) })
  accounts = new Accounts({ settings, passwords, planes, tls: files, server, onReloaded: () => undefined, onTrouble: (error) => void troubles.push(error) })
})

afterAll(async () => {
  server.signal("SIGTERM")
  await server.ended
  await rm(folder, { recursive: true, force: true })
})

test("every part and every data plane comes in with its certificate and its password", async () => {
  for (const role of ["functions", ...roleNames(PLANES)]) {
    const bus = await as(role, tls.client(role))
    expect((await bus.info("CONFIG")).incarnation).not.toBe("")
    await bus.close()
  }
})

test("nobody comes in in clear, without a certificate, or with one of another authority", async () => {
  const [ca, stranger] = [tls.client("functions").ca ?? "", new NatsTls(join(folder, "stranger"))]
  expect(await refused("functions", { ca })).not.toBe("let in")
  await until("the server says why", () => said("didn't provide a certificate"))
  expect(await refused("functions", { ...stranger.client("functions"), ca })).not.toBe("let in")
  await until("the server says why", () => said("unknown authority"))
  const answer = await spokenInClear(`CONNECT ${JSON.stringify({ user: "functions", pass: passwordOf("functions"), protocol: 1 })}\r\nPING\r\n`)
  expect(answer).toContain('"tls_required":true')
  expect(answer).not.toContain("PONG")
})

test("a server of another authority gets no password", async () => {
  const stranger = new NatsTls(join(folder, "stranger"))
  expect(await refused("functions", stranger.client("functions"))).toContain("unable to verify the first certificate")
  expect(await refused("functions", undefined)).toContain("unable to verify the first certificate")
})

test("a certificate is of no use with another's user, and no more is a password without the certificate of its user", async () => {
  expect(await refused("adapter", tls.client("functions"))).toContain("refuses the user adapter")
  expect(await refused("functions", tls.client("functions"), { password: "guessed" })).toContain("refuses the user functions")
  expect(await refused(gatewayRole("shop.web"), tls.client(gatewayRole("team.web")))).toContain("refuses the user gateway.shop_dweb")
  // What a server shows its peers is no user.
  const { certificate, key, authority } = tls.server()
  expect(await refused("functions", { ca: authority, cert: certificate, key })).toContain("refuses the user functions")
})

test("a renewed certificate is shown to who comes; who is there stays, and misses nothing", async () => {
  const role = gatewayRole("shop.web")
  const [functions, web] = [await as("functions", tls.client("functions")), await as(role, tls.client(role))]
  const messages = await numbered(functions, web, "shop.web")
  // Two months later than the one that is shown was made.
  const began = Date.now() - 61 * DAY
  const { clock, over } = quick(began, Date.now())
  const old = currentLeaf(tls.authority, serverSubject([]), {}, began)
  const withLeaf = (leaf: KeyPair) => ({ ...passwords, tls: { ...leaf, authority: tls.authority.certificate } })
  let current = old
  const before = await shown()
  const end = new AbortController()
  const renewed: unknown[] = []
  const keeping = keepRenewed({
    ensure: (now) => {
      current = currentLeaf(tls.authority, serverSubject([]), current, now)
      return Promise.resolve(withLeaf(current))
    },
    credentials: withLeaf(old), clock, signal: end.signal, onTrouble: (error) => void troubles.push(error),
    onNew: (newest) => {
      renewed.push(newest.tls?.certificate)
      accounts.renew(newest, newest.tls && writeTls(join(folder, "tls"), newest.tls))
    },
  })
  await over
  end.abort()
  await keeping
  await accounts.settled()
  expect(renewed).toEqual([current.certificate])
  expect(await shown()).toBe(fingerprintOf(current.certificate))
  expect(await shown()).not.toBe(before)
  const late = await as("history", tls.client("history"))
  await late.close()
  const { seen, published, stalled, lost } = await messages.end()
  expect(seen).toEqual(Array.from({ length: published }, (_, i) => i + 1))
  expect(published).toBeGreaterThan(10)
  expect({ stalled, lost, troubles }).toEqual({ stalled: [], lost: [], troubles: [] })
  await Promise.all([functions.close(), web.close()])
})

test("what the authority signed stays good when the authority itself is renewed, for who trusts the one before and for who trusts the next", () => {
  const now = Date.now()
  const leaf = currentLeaf(tls.authority, clientSubject("functions"), {}, now)
  const next = currentAuthority(tls.authority, now + 7 * 365 * DAY)
  expect(next.certificate).not.toBe(tls.authority.certificate)
  expect(currentLeaf(next, clientSubject("functions"), leaf, now).certificate).toBe(leaf.certificate)
  const later = currentLeaf(next, clientSubject("functions"), leaf, now + 61 * DAY)
  expect(later.certificate).not.toBe(leaf.certificate)
  expect(currentLeaf(tls.authority, clientSubject("functions"), later, now + 61 * DAY).certificate).toBe(later.certificate)
  // Of another authority of the same name, of another user, without its key.
  const other = currentAuthority({}, now)
  expect(currentLeaf(other, clientSubject("functions"), leaf, now).certificate).not.toBe(leaf.certificate)
  expect(currentLeaf(tls.authority, clientSubject("history"), leaf, now).certificate).not.toBe(leaf.certificate)
  expect(currentLeaf(tls.authority, clientSubject("functions"), { ...leaf, key: later.key }, now).certificate).not.toBe(leaf.certificate)
})

/** Time that goes to its end as fast as it is waited for. */
const quick = (from: number, end: number) => {
  const over = Promise.withResolvers<void>()
  let now = from
  const clock: Clock = {
    monotonic: () => now, wall: () => now, random: () => 0.5,
    after: (ms, run) => {
      if (now + ms > end) over.resolve()
      else setImmediate(() => {
        now += ms
        run()
      })
      return () => undefined
    },
  }
  return { clock, over: over.promise }
}

const said = (text: string): boolean => lines.some((line) => line.includes(text))

/** What the server answers until it closes the connection. */
const spokenInClear = (text: string): Promise<string> => new Promise((resolve) => {
  let answer = ""
  const socket = createConnection({ host: "127.0.0.1", port: settings.ports.clients }, () => void socket.write(text))
  socket.on("data", (data) => { answer += data.toString() }).on("error", () => undefined).on("close", () => resolve(answer))
})

/** Fingerprint of the certificate that a new connection is shown. */
const shown = (): Promise<string> => new Promise((resolve, reject) => {
  const { ca, cert, key } = tls.client("functions")
  const plain = createConnection({ host: "127.0.0.1", port: settings.ports.clients })
  plain.once("error", reject).once("data", () => {
    const socket = connectTls({ socket: plain, servername: "localhost", ca: readFileSync(ca ?? ""), cert: readFileSync(cert ?? ""), key: readFileSync(key ?? "") }, () => {
      const raw = socket.getPeerX509Certificate()
      socket.destroy()
      resolve(raw === undefined ? "" : fingerprintOf(raw.toString()))
    }).once("error", reject)
  })
})
