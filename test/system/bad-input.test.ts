/** A user's mistake costs that object alone: it is named with file, line and reason, and mending the file heals it. */
import { createServer } from "node:net"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { newWorld } from "./headgate.ts"
import type { Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, take, yaml } from "./manifests.ts"
import { notesOf } from "./notes.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

const world = newWorld("bad input")
let port = 0
let backend: Backend
let running: Running
let edits = 0

const notes = () => notesOf(world)

/** Everything else keeps working: an edit of another file is answered, by the same processes. */
const othersStillWork = async () => {
  const version = String(++edits)
  drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a", filters: [setHeader("x-version", version)] })))
  await until("an edit of another file is answered", async () => (await ask({ port, host: "web.example" })).headers["x-version"] === version)
}

const answers = (host: string, status: number) => until(`${host} answers ${status}`, async () => (await ask({ port, host })).status === status)

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a" })))
  running = await world.up()
})

afterAll(async () => {
  await world.end()
  await backend.stop()
})

const good = (name: string) => yaml(route(name, { gateway: "edge", hostnames: [`${name}.example`], backend: "a" }))
const regexRoute = (name: string, value: string) =>
  yaml({
    ...route(name, { gateway: "edge", backend: "a" }),
    spec: { parentRefs: [{ name: "edge" }], hostnames: [`${name}.example`], rules: [{ matches: [{ path: { type: "RegularExpression", value } }], backendRefs: [{ name: "a", port: 80 }] }] },
  })
const lineOf = (text: string, part: string) => text.slice(0, text.indexOf(part)).split("\n").length

interface Mistake {
  /** Of the file and of the host that works once mended. */
  readonly name: string
  readonly what: string
  readonly content: string
  /** Line in the file where the reader is sent. */
  readonly line: number
  readonly reason: RegExp
  readonly message: RegExp
}

const mistakes: readonly Mistake[] = [
  {
    name: "broken",
    what: "broken YAML",
    content: "apiVersion: v1\nkind: Service\nmetadata: { name: [\n",
    line: 3,
    reason: /yaml/i,
    message: /./,
  },
  {
    name: "unknown",
    what: "an unknown kind",
    content: "# a comment first\napiVersion: example.com/v1\nkind: Wonder\nmetadata:\n  name: unknown\n",
    line: 3,
    reason: /unknown/i,
    message: /Wonder/,
  },
  (() => {
    const content = good("invalid").replace("port: 80", "port: eighty")
    return { name: "invalid", what: "an object its schema refuses", content, line: lineOf(content, "eighty"), reason: /invalid/i, message: /port/ }
  })(),
  (() => {
    const content = regexRoute("regex", "/(a+)+(b|")
    return { name: "regex", what: "a regular expression that does not compile", content, line: lineOf(content, "/(a+)+(b|"), reason: /regex|expression|invalid/i, message: /./ }
  })(),
  {
    name: "big",
    what: "an object of 2 MB",
    content: yaml({ ...route("big", { gateway: "edge", hostnames: ["big.example"], backend: "a" }), metadata: { name: "big", namespace: "default", labels: { filler: "x".repeat(2 * 1024 * 1024) } } }),
    line: 1,
    reason: /large|big|size/i,
    message: /big/,
  },
]

const processes = () => (["adapter", "functions", "gateway"] as const).map((part) => running.pid(part))
const aboutFile = async (file: string) => (await notes()).filter((one) => one.file?.endsWith(file) === true)

describe("a mistake in a file gives a note with file, line and reason, costs nothing else, and heals when mended", () => {
  for (const { name, what, content, line, reason, message } of mistakes) {
    test(what, async () => {
      const file = `${name}.yaml`
      const before = processes()
      drop(world.manifests, file, content)
      const note = await until(`a note about ${file}`, async () => (await aboutFile(file)).find((one) => reason.test(one.reason)))
      expect(note.message).toMatch(message)
      expect(note.line).toBe(line)
      expect(note.severity).not.toBe("info")
      await othersStillWork()
      expect((await ask({ port, host: `${name}.example` })).status).not.toBe(200)
      drop(world.manifests, file, good(name))
      await answers(`${name}.example`, 200)
      await until("the note is gone", async () => (await aboutFile(file)).length === 0)
      expect(processes()).toEqual(before)
    })
  }

  test("a good file that turns bad keeps its last good object", async () => {
    drop(world.manifests, "turn.yaml", good("turn"))
    await answers("turn.example", 200)
    drop(world.manifests, "turn.yaml", "kind: [")
    await until("a note about turn.yaml", async () => (await aboutFile("turn.yaml")).length > 0)
    await othersStillWork()
    expect((await ask({ port, host: "turn.example" })).status).toBe(200)
    take(world.manifests, "turn.yaml")
    await answers("turn.example", 404)
    await until("the note is gone", async () => (await aboutFile("turn.yaml")).length === 0)
  })

  test("two files with one name: both are named, one stands, removing one heals it", async () => {
    drop(world.manifests, "twin-1.yaml", good("twin"))
    await answers("twin.example", 200)
    drop(world.manifests, "twin-2.yaml", yaml(route("twin", { gateway: "edge", hostnames: ["second.example"], backend: "a" })))
    const note = await until("a note about the second", async () => (await notes()).find((one) => /duplicate/i.test(one.reason)))
    expect(`${note.file} ${note.message}`).toMatch(/twin-2\.yaml/)
    expect(`${note.file} ${note.message}`).toMatch(/twin-1\.yaml/)
    expect(note.line).toBeGreaterThan(0)
    await othersStillWork()
    const standing = [(await ask({ port, host: "twin.example" })).status, (await ask({ port, host: "second.example" })).status].toSorted((one, two) => one - two)
    expect(standing).toEqual([200, 404])
    take(world.manifests, "twin-1.yaml")
    await answers("second.example", 200)
    await answers("twin.example", 404)
    await until("the note is gone", async () => !(await notes()).some((one) => /duplicate/i.test(one.reason)))
    take(world.manifests, "twin-2.yaml")
  })

  test("a regular expression that explodes elsewhere takes milliseconds", async () => {
    drop(world.manifests, "slow.yaml", regexRoute("slow", "/(a+)+(a|aa)+(a*)*"))
    const path = `/${"a".repeat(2000)}!`
    await answers("slow.example", 404)
    await until("it matches", async () => (await ask({ port, host: "slow.example", path: "/aaaa" })).status === 200)
    const started = performance.now()
    expect((await ask({ port, host: "slow.example", path })).status).toBe(404)
    expect(performance.now() - started).toBeLessThan(500)
    await othersStillWork()
    take(world.manifests, "slow.yaml")
  })

  test("a port in use: the listener is named with its port, and heals when the port is free", async () => {
    const taken = createServer()
    await new Promise<void>((resolve, reject) => taken.once("error", reject).listen(0, "::", resolve))
    const address = taken.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    drop(world.manifests, "taken.yaml", yaml(gateway("taken", { http: address.port }), route("taken", { gateway: "taken", backend: "a" })))
    const note = await until("a note about the port", async () => (await notes()).find((one) => one.message.includes(String(address.port))))
    expect(note.reason).toMatch(/port|address|bind|listen/i)
    await othersStillWork()
    await new Promise((resolve) => taken.close(resolve))
    await until("it is served", async () => (await ask({ port: address.port })).status === 200, 15_000)
    await until("the note is gone", async () => !(await notes()).some((one) => one.message.includes(String(address.port))))
    take(world.manifests, "taken.yaml")
  })

  test("a route to a Service that does not exist answers 500 and says which, and heals when the Service appears", async () => {
    drop(world.manifests, "nowhere.yaml", yaml(route("nowhere", { gateway: "edge", hostnames: ["nowhere.example"], backend: "absent" })))
    await answers("nowhere.example", 500)
    const note = await until("a note about the backend", async () => (await notes()).find((one) => one.message.includes("absent")))
    expect(note.field).toMatch(/backendRefs/)
    expect(note.file).toMatch(/nowhere\.yaml$/)
    expect(note.line).toBeGreaterThan(0)
    await othersStillWork()
    drop(world.manifests, "absent.yaml", yaml(...service("absent", 80, [{ port: backend.port }])))
    await answers("nowhere.example", 200)
    await until("the note is gone", async () => !(await notes()).some((one) => one.message.includes("absent")))
  })

  test("a route to no Gateway says so", async () => {
    drop(world.manifests, "orphan.yaml", yaml(route("orphan", { gateway: "no-such", hostnames: ["orphan.example"], backend: "a" })))
    const note = await until("a note about the parent", async () => (await notes()).find((one) => one.message.includes("no-such")))
    expect(note.file).toMatch(/orphan\.yaml$/)
    // The command says what the other tests are told without it.
    const { stdout } = await world.cli(["get", "notes", "-o", "json"])
    expect(JSON.parse(stdout)).toContainEqual(expect.objectContaining({ kind: "note", value: note }))
    take(world.manifests, "orphan.yaml")
    await until("the note is gone", async () => !(await notes()).some((one) => one.message.includes("no-such")))
  })
})
