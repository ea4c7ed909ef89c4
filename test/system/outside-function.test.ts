/** A function somebody wrote in a folder outside the project, run against a live Headgate. */
import { cpSync, mkdirSync, readFileSync } from "node:fs"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend } from "./backend.ts"
import type { Backend } from "./backend.ts"
import { newWorld, root } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml } from "./manifests.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

const fixture = join(root, "test/fixtures/outside")
const world = newWorld("outside")
let port = 0
let backend: Backend
let outside: ChildProcess | undefined

const shop = (name: string, labels: Readonly<Record<string, string>>) => yaml(route(name, { gateway: "edge", hostnames: [`${name}.example`], backend: "a", labels }))

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port }), ...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "cart.yaml", shop("cart", { maintenance: "true" }))
  drop(world.manifests, "pay.yaml", shop("pay", {}))
  await world.up()
})

afterAll(async () => {
  outside?.kill("SIGKILL")
  await world.end()
  await backend.stop()
})

const answers = (name: string, status: number) => until(`${name} answers ${status}`, async () => (await ask({ port, host: `${name}.example` })).status === status)

test("is under 40 lines with its unit test", () => {
  const lines = ["maintenance.ts", "maintenance.test.ts"].map((file) => readFileSync(join(fixture, file), "utf8").trimEnd().split("\n").length)
  expect(lines.reduce((sum, count) => sum + count, 0)).toBeLessThan(40)
})

test("answers 503 for labelled routes alone, while edits go on, and gives them back when the label goes", async () => {
  await answers("cart", 200)
  const folder = join(world.folder, "some where else")
  mkdirSync(folder)
  cpSync(join(fixture, "maintenance.ts"), join(folder, "maintenance.ts"))
  outside = spawn(process.execPath, [join(root, "infra/cli/headgate.mjs"), "functions", "./maintenance.ts"], { cwd: folder, env: { ...process.env, HEADGATE_DATA: world.data }, stdio: ["ignore", "ignore", "inherit"] })
  await answers("cart", 503)
  const answer = await ask({ port, host: "cart.example" })
  expect(answer.body).toBe("back soon\n")
  expect(answer.headers["retry-after"]).toBe("60")
  await answers("pay", 200)

  drop(world.manifests, "pay.yaml", shop("pay", { maintenance: "true" }))
  drop(world.manifests, "cart.yaml", shop("cart", {}))
  await answers("pay", 503)
  await answers("cart", 200)
})

test("what it published stands when it has ended, and its next run takes it back", async () => {
  const ended = new Promise((resolve) => outside?.once("exit", resolve))
  outside?.kill("SIGTERM")
  await ended
  await answers("pay", 503)
  drop(world.manifests, "pay.yaml", shop("pay", {}))
  drop(world.manifests, "new.yaml", shop("new", {}))
  await answers("new", 200)
  outside = spawn(process.execPath, [join(root, "infra/cli/headgate.mjs"), "functions", "./maintenance.ts"], { cwd: join(world.folder, "some where else"), env: { ...process.env, HEADGATE_DATA: world.data }, stdio: ["ignore", "ignore", "inherit"] })
  await answers("pay", 200)
})
