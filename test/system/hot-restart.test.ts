/**
 * A gateway that is replaced again and again by a new process of itself, under traffic of every kind. HEADGATE_RESTARTS
 * says how often (2).
 */
import { spawn } from "node:child_process"
import { Agent } from "node:http"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterEach, beforeEach, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import type { EchoServer } from "../proxy/websocket-server.ts"
import { startSoakBackend } from "../soak/backend.ts"
import { ask } from "../soak/http1.ts"
import { startMix, type Mix } from "../soak/mix.ts"
import { isReady } from "./configuration.ts"
import { newWorld, root, type World } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml } from "./manifests.ts"
import { alive, running } from "./processes.ts"
import { until } from "./until.ts"

const RESTARTS = Number(process.env["HEADGATE_RESTARTS"] ?? 2)
const SEED = 7
const ADDRESS = "127.0.0.2"
const MAIN = join(root, "infra/cli/main.ts")

let world: World
let backend: EchoServer
let mix: Mix | undefined
let port = 0

beforeEach(async () => {
  world = newWorld("hot-restart")
  backend = await startSoakBackend()
  ;[port = 0] = await freePorts(1)
  drop(world.manifests, "all.yaml", yaml(gatewayClass(), gateway("edge", { http: port }), ...service("a", 80, [{ port: backend.port }]), route("web", { gateway: "edge", backend: "a" })))
  await world.up()
})

afterEach(async () => {
  await mix?.stop()
  mix = undefined
  for (const { pid } of running(pidFile())) process.kill(pid, "SIGKILL")
  await until("the gateways are gone", () => running(pidFile()).length === 0)
  await world.end()
  await backend.stop()
})

const pidFile = (): string => join(world.folder, "gateway.pid")
const pidInFile = (): number => Number(readFileSync(pidFile(), "utf8"))

interface Process {
  readonly admin: string
  output(): string
}

/** A gateway process of its own, beside the one that `up` runs; `program` is what a restart starts anew. */
const start = async (flags: readonly string[] = [], program = MAIN, bus = world.ready().nats): Promise<Process> => {
  const [admin = 0] = await freePorts(1)
  const { credentials } = world.ready()
  const child = spawn(process.execPath, [program, "gateway", "--pod", "restarted", "--bind", ADDRESS, "--admin", `127.0.0.1:${admin}`, "--data", join(world.folder, "gateway"), "--pid-file", pidFile(), "--drain", "2000", "--access-log", "off", ...flags], {
    env: { ...process.env, HEADGATE_NATS_URL: bus, HEADGATE_NATS_CREDENTIALS: credentials, HEADGATE_DATA: world.data }, stdio: ["ignore", "pipe", "pipe"],
  })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text))
  await until(`the gateway is ready\n${output}`, () => isReady(`http://127.0.0.1:${admin}`), 30_000)
  return { admin: `http://127.0.0.1:${admin}`, output: () => output }
}

const restart = async ({ admin }: Process): Promise<readonly [status: number, body: string]> => {
  const response = await fetch(`${admin}/restart`, { method: "POST" })
  return [response.status, await response.text()]
}

/** Restarts once the process before has ended; with the most generations seen alive meanwhile. */
const restarted = async (process_: Process): Promise<number> => {
  const before = pidInFile()
  let most = 0
  const counting = setInterval(() => (most = Math.max(most, running(pidFile()).length)), 25)
  try {
    const [status, body] = await restart(process_)
    expect([status, body]).toEqual([200, expect.stringContaining("\"restarted\":true")])
    expect(JSON.parse(body)).toEqual({ restarted: true, pid: pidInFile() })
    expect(pidInFile()).not.toBe(before)
    await until("the process before has ended", () => !alive(before), 20_000)
  } finally {
    clearInterval(counting)
  }
  return most
}

const flows = (): Mix => (mix = startMix({ address: ADDRESS, port }, { seed: SEED, pace: 5 }))

for (const [what, flags, count] of [["one thread", [], RESTARTS], ["two workers", ["--workers", "2"], Math.ceil(RESTARTS / 4)]] as const) {
  test(`${count} hot restarts with ${what} fail no request and cut no stream, with at most two generations alive`, { timeout: 60_000 + count * 15_000 }, async () => {
    const process_ = await start(flags)
    const traffic = flows()
    await until("every kind of traffic flows", () => traffic.hasMoved())
    let most = 0
    for (let i = 0; i < count; i++) {
      most = Math.max(most, await restarted(process_))
      await until("every kind of traffic flows on", () => traffic.hasMoved(), 20_000)
    }
    await traffic.stop()
    expect(traffic.failures).toEqual([])
    expect(most).toBe(2)
    const ends = (name: string, how: string): number => traffic.tallies.find((tally) => tally.name === name)?.ends.get(how) ?? 0
    // Each generation but the last said so to all it had.
    expect(ends("HTTP/2 streams", "GOAWAY")).toBeGreaterThanOrEqual(count)
    expect(ends("WebSockets", "1001")).toBeGreaterThanOrEqual(count)
    console.log(`${count} hot restarts, ${what}: ${traffic.tallies.map(({ text }) => text).join("; ")}`)
  })
}

test("a successor that fails leaves everything as it was, and says why; one that does not takes the program as it is then", async () => {
  const program = join(world.folder, "gateway.mjs")
  const whole = `console.log("version NUMBER")\nawait import(${JSON.stringify(pathToFileURL(MAIN).href)})\n`
  writeFileSync(program, whole.replace("NUMBER", "1"))
  const process_ = await start([], program)
  const traffic = flows()
  await until("every kind of traffic flows", () => traffic.hasMoved())
  const before = pidInFile()

  writeFileSync(program, "process.exit(3)\n")
  expect(await restart(process_)).toEqual([503, "it ended with 3\n"])
  expect(pidInFile()).toBe(before)
  const config: unknown = await (await fetch(`${process_.admin}/config`)).json()
  expect(config).toMatchObject({ ready: true, notes: [{ reason: "RestartFailed", message: "A process was to take the place of this one, but it ended with 3. This one serves on." }] })
  expect(process_.output()).toContain("no other process has taken over")

  // One that ends at the last moment, when it was to speak for the pod.
  writeFileSync(program, `if (process.connected) process.on("message", (message) => message === "go" && process.exit(4))\n${whole}`)
  expect(await restart(process_)).toEqual([503, "it ended with 4\n"])
  expect(pidInFile()).toBe(before)

  // The gateway still follows its tables and says so: a port that is added is bound, and waited for.
  const [another = 0] = await freePorts(1)
  drop(world.manifests, "another.yaml", yaml(gateway("another", { http: another }), route("more", { gateway: "another", backend: "a" })))
  await until("a new port is served", async () => (await fetch(`http://${ADDRESS}:${another}/small`)).status === 200)
  expect(await world.cli(["wait", "--timeout", "30s"])).toMatchObject({ code: 0 })

  writeFileSync(program, whole.replace("NUMBER", "2"))
  expect((await restart(process_))[0]).toBe(200)
  expect(pidInFile()).not.toBe(before)
  expect(process_.output()).toContain("version 2")
  await until("the process before has ended", () => !alive(before), 20_000)
  expect(await (await fetch(`${process_.admin}/config`)).json()).toMatchObject({ ready: true, pod: "restarted", notes: [] })
  await until("both ports are served", async () => (await fetch(`http://${ADDRESS}:${another}/small`)).status === 200 && traffic.hasMoved())
  await traffic.stop()
  expect(traffic.failures).toEqual([])

  // Acks of the pod go on, and they are the new process's.
  drop(world.manifests, "third.yaml", yaml(route("third", { gateway: "another", path: "/third", backend: "a" })))
  expect(await world.cli(["wait", "--timeout", "30s"])).toMatchObject({ code: 0 })

  process.kill(pidInFile(), "SIGTERM")
  await until("it ended, and nobody claims to be the gateway", () => running(pidFile()).length === 0 && !existsSync(pidFile()))
})

test("a successor whose predecessor dies before it has handed over serves with its sockets all the same", async () => {
  const process_ = await start()
  const before = pidInFile()
  const asked = restart(process_).catch(() => undefined)
  await until("a successor is started", () => process_.output().includes("another process is started to take over"))
  process.kill(before, "SIGKILL")
  await asked
  const after = await until("it serves", () => pidInFile() !== before && pidInFile(), 30_000)
  expect(running(pidFile()).map(({ pid }) => pid)).toEqual([after])
  expect((await ask({ address: ADDRESS, port }, { path: "/small" })).text).toBe("ok")
  expect(await isReady(process_.admin)).toBe(true)
})

test("without the bus a successor takes over with what is on disk", async () => {
  await start()
  process.kill(pidInFile(), "SIGTERM")
  await until("it ended", () => running(pidFile()).length === 0)
  const [nobody = 0] = await freePorts(1)
  const process_ = await start([], MAIN, `nats://127.0.0.1:${nobody}`)
  const before = pidInFile()
  expect((await restart(process_))[0]).toBe(200)
  expect(pidInFile()).not.toBe(before)
  expect((await ask({ address: ADDRESS, port }, { path: "/small" })).text).toBe("ok")
  await until("the process before has ended", () => !alive(before), 20_000)
})

test("SIGUSR2 does the same; while the process before still has a client, there is no third", async () => {
  const process_ = await start(["--drain", "120000"])
  const client = new Agent({ keepAlive: true })
  const answered = await ask({ address: ADDRESS, port }, { path: "/small", agent: client })
  expect(answered.text).toBe("ok")
  const before = pidInFile()
  process.kill(before, "SIGUSR2")
  const after = await until("another process serves", () => pidInFile() !== before && pidInFile(), 30_000)
  await until("it says so", () => process_.output().includes("another process serves now"))
  expect(await restart(process_)).toEqual([503, "The process before this one has not ended yet.\n"])
  expect(running(pidFile()).map(({ pid }) => pid)).toEqual(expect.arrayContaining([before, after]))
  // Its last answer on that connection is the last: the next request is the new process's.
  expect((await ask({ address: ADDRESS, port }, { path: "/small", agent: client })).text).toBe("ok")
  await until("the process before has ended", () => !alive(before), 20_000)
  expect(await isReady(process_.admin)).toBe(true)
  expect(running(pidFile()).map(({ pid }) => pid)).toEqual([after])
  client.destroy()
})
