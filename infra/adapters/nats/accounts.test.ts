/** A real nats-server under the same rendering and reloading as in a pod; data planes come and go while others work. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Bus, StreamName } from "../../../bus/bus.ts"
import { connectBus } from "../../../bus/jetstream.ts"
import { credentialsOf, findNatsServer, gatewayRole, roleNames } from "../../../bus/server.ts"
import { encodeToken } from "../../../bus/subject.ts"
import { numbered } from "../../../test/fixtures/numbered.ts"
import { freePorts } from "../../../test/fixtures/ports.ts"
import { until } from "../../../test/system/until.ts"
import { Accounts } from "./accounts.ts"
import { type Passwords, renderServer, type Settings } from "./configuration.ts"
import { type ServerProcess, startServer } from "./process.ts"

const passwords: Omit<Passwords, "planes"> = { roles: new Map(roleNames([]).map((role) => [role, `password of ${role}`])), routes: "among servers" }
const planesOf = (...names: readonly string[]): ReadonlyMap<string, string> => new Map(names.map((name) => [name, `password of ${gatewayRole(name)}`]))

let folder: string
let server: ServerProcess
let settings: Settings
let accounts: Accounts
const troubles: unknown[] = []
const lines: { readonly line: string; readonly isOwn: boolean }[] = []

const as = (role: string, streams: "ensure" | readonly StreamName[] = "ensure"): Promise<Bus> => {
  const url = `nats://127.0.0.1:${settings.ports.clients}`
  return connectBus({ url, name: role, streams, access: { url, ...credentialsOf(role, `password of ${role}`) } })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-accounts-"))
  const [clients = 0, routes = 0, monitor = 0] = await freePorts(3)
  settings = { name: "n0", store: join(folder, "store"), peers: [], address: "127.0.0.1", ports: { clients, routes, monitor } }
  const planes = planesOf("shop.web")
  server = startServer({ binary: await findNatsServer(), file: join(folder, "nats.conf"), configuration: renderServer(settings, { ...passwords, planes }), log: (line, isOwn) => void lines.push({ line, isOwn }) })
  // Before it has started: the signal that means a reload ends a process that does not know it yet.
  await server.reload(renderServer(settings, { ...passwords, planes }))
  accounts = new Accounts({ settings, passwords, planes, server, onReloaded: () => undefined, onTrouble: (error) => void troubles.push(error) })
})

afterAll(async () => {
  server.signal("SIGTERM")
  await server.ended
  await rm(folder, { recursive: true, force: true })
})

test("while data planes come and go, nobody else is cut off or refused, misses a message or takes the store for lost; a new one is in within a second", async () => {
  const [functions, web] = [await as("functions"), await as(gatewayRole("shop.web"), ["CONFIG", "APPLIED"])]
  const messages = await numbered(functions, web, "shop.web")
  let stop = false
  // Asked at every moment, where a follower asks every 10 s.
  let asked = 0
  const asking = (async () => {
    for (; !stop; asked++) await web.info("CONFIG")
  })()
  const coming = (async () => {
    while (!stop) await (await as("functions")).close()
  })()
  const names = ["shop.web"]
  const took: number[] = []
  for (let i = 0; i < 12; i++) {
    names.push(`team.gw${i}`)
    const began = performance.now()
    accounts.set(planesOf(...names))
    const joined = await as(gatewayRole(`team.gw${i}`), ["CONFIG", "APPLIED"])
    took.push(performance.now() - began)
    await accounts.settled()
    await joined.publish({ subject: `applied.${encodeToken(`team.gw${i}`)}.pod`, data: "{}" })
    await joined.close()
  }
  accounts.set(planesOf("shop.web"))
  await accounts.settled()
  stop = true
  await Promise.all([asking, coming])
  const { seen, published, stalled, lost } = await messages.end()
  expect(seen).toEqual(Array.from({ length: published }, (_, i) => i + 1))
  expect({ stalled, lost, troubles }).toEqual({ stalled: [], lost: [], troubles: [] })
  expect(asked).toBeGreaterThan(100)
  // The middle one: a machine with much to do has no clock.
  expect(took.toSorted((a, b) => a - b)[took.length >> 1]).toBeLessThan(1000)
  expect(Math.max(...took)).toBeLessThan(10_000)
  console.log(`joined after ${took.map(Math.round).join(" ")} ms; ${published} messages, ${asked} questions`)
  await Promise.all([functions.close(), web.close()])
})

test("what a client calls itself is never taken for the server's own word", async () => {
  const role = gatewayRole("shop.web")
  const url = `nats://127.0.0.1:${settings.ports.clients}`
  const name = "critical write error; Reloaded server configuration"
  const named = await connectBus({ url, name, streams: ["CONFIG"], access: { url, ...credentialsOf(role, `password of ${role}`) } })
  named.onHint("config.>", () => undefined)
  const quoted = await until("the server has named it", () => lines.filter(({ line }) => line.includes(name)))
  expect(quoted.map(({ isOwn }) => isOwn)).not.toContain(true)
  await named.close()
})

test("who is given another password comes back with it", async () => {
  const role = gatewayRole("shop.moved")
  const url = `nats://127.0.0.1:${settings.ports.clients}`
  let password = "first"
  const given = (): ReadonlyMap<string, string> => new Map([...planesOf("shop.web"), ["shop.moved", password]])
  accounts.set(given())
  await accounts.settled()
  const moved = await connectBus({ url, name: role, streams: ["CONFIG"], access: { url, ...credentialsOf(role, password), newPassword: () => password } })
  await moved.info("CONFIG")
  password = "second"
  accounts.set(given())
  await accounts.settled()
  await until("it asks again", async () => {
    await moved.info("CONFIG")
    return true
  })
  await moved.close()
})

test("the user of a data plane that is gone comes in no more", async () => {
  const role = gatewayRole("shop.old")
  accounts.set(planesOf("shop.web", "shop.old"))
  await accounts.settled()
  const old = await as(role, ["CONFIG"])
  await old.close()
  accounts.set(planesOf("shop.web"))
  await accounts.settled()
  const url = `nats://127.0.0.1:${settings.ports.clients}`
  await expect(connectBus({ url, name: role, streams: ["CONFIG"], timeout: 0, access: { url, ...credentialsOf(role, `password of ${role}`) } })).rejects.toMatchObject({ reason: "rejected" })
})
