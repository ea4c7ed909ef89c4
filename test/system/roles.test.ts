/** The users of the bus under `headgate up`: each part does all it does with its own credentials, and has no others. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { newWorld } from "./headgate.ts"
import type { Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, take, yaml } from "./manifests.ts"
import type { Part } from "./processes.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

const world = newWorld("roles")
const parts = ["adapter", "functions", "gateway"] as const satisfies readonly Part[]
let port = 0
let backend: Backend
let running: Running

const edit = async (version: string): Promise<void> => {
  drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", backend: "a", filters: [setHeader("x-version", version)] })))
  await until(`version ${version} is served`, async () => (await ask({ port })).headers["x-version"] === version)
}
const log = (name: string): string => readFileSync(join(world.data, "logs", `${name}.log`), "utf8")

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port }), ...service("a", 80, [{ port: backend.port }])))
  running = await world.up({ args: ["--trace"] })
})
afterAll(async () => {
  await world.end()
  await backend.stop()
})

test("edits, removals, restarts of every part and of the server, and people's questions: the server refuses nothing", async () => {
  await edit("1")
  for (const part of [...parts, "nats"] satisfies Part[]) {
    await running.kill(part)
    await edit(`after ${part}`)
  }
  drop(world.manifests, "other.yaml", yaml(route("other", { gateway: "edge", hostnames: ["other.example"], backend: "a" })))
  await until("the other is served", async () => (await ask({ port, host: "other.example" })).headers["x-version"] === undefined)
  take(world.manifests, "other.yaml")
  for (const args of [["get"], ["get", "notes"], ["events"], ["wait"], ["explain", "httproute/web"], ["history", "httproute/web"], ["at", "1"]]) {
    expect((await world.cli(args, { HEADGATE_NATS_URL: "" })).stderr).not.toMatch(/[Pp]ermission|refuses/)
  }
  expect(log("nats-server").match(/.*Violation.*/g)).toBeNull()
  for (const part of parts) expect(log(part)).not.toContain("BusRefuses")
})

test.runIf(process.platform === "linux")("a part is told its own credentials alone, and no password stands in an environment or on a command line", () => {
  const roles: Readonly<Record<(typeof parts)[number], string>> = { adapter: "adapter", functions: "functions", gateway: "gateway.default" }
  const passwords = ["operator", ...Object.values(roles)].map((role) => JSON.parse(readFileSync(join(world.data, "credentials", role), "utf8")).password)
  for (const part of parts) {
    const environment = readFileSync(`/proc/${running.pid(part)}/environ`, "utf8").split("\0")
    expect(environment.filter((line) => line.includes(join(world.data, "credentials")))).toEqual([`HEADGATE_NATS_CREDENTIALS=${join(world.data, "credentials", roles[part])}`])
    const told = environment.join("\n") + readFileSync(`/proc/${running.pid(part)}/cmdline`, "utf8")
    expect(passwords.filter((password) => told.includes(password))).toEqual([])
  }
  expect(passwords.filter((password) => readFileSync(`/proc/${running.pid("nats")}/cmdline`, "utf8").includes(password) || running.output().includes(password))).toEqual([])
})
