/**
 * What the history costs, against a store made without one, and how long questions about the past take.
 * `--routes`, `--edits`, `--rounds` for the cost; `--events` (messages of edits, commits and acks together), `--moments`
 * for the questions; `--only cost|at`.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { header } from "../../bus/envelope.ts"
import { past } from "../../bus/history/past.ts"
import { EVENTS } from "../../bus/history/recorder.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { BusError, type Ack, type Bus, type Outgoing, type StreamName } from "../../bus/bus.ts"
import { findNatsServer, startNatsServer } from "../../bus/server.ts"
import { configSubject, resourceSubject } from "../../bus/subject.ts"
import { openUnit } from "../../bus/unit/writer.ts"
import { root, type Running } from "../system/headgate.ts"
import { drop, route, setHeader, yaml } from "../system/manifests.ts"
import { pidOf, usage, type Part } from "../system/processes.ts"
import { until } from "../system/until.ts"
import { middle, option, report, spread } from "./report.ts"
import { Prober, stage, timeUntil } from "./stage.ts"

const parts: readonly Part[] = ["nats", "adapter", "functions", "gateway", "checkpoints"]
const WARM_UP = 100

/** Bytes of all files below. */
const bytesIn = (folder: string): number =>
  readdirSync(folder, { withFileTypes: true, recursive: true }).reduce((sum, entry) => sum + (entry.isFile() ? statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0 : 0), 0)

/** 0 for a part that does not run: without a history there are no checkpoints. */
const cpuNow = (running: Running): readonly number[] =>
  parts.map((part) => {
    const pid = pidOf(running.supervisor, part)
    return pid === undefined ? 0 : usage(pid).cpu
  })

interface Cost {
  readonly bytes: number
  readonly cpu: readonly number[]
  readonly times: readonly number[]
}

const costOf = async (history: boolean, routes: number, edits: number): Promise<Cost> => {
  const before = process.env["HEADGATE_HISTORY"]
  process.env["HEADGATE_HISTORY"] = history ? "" : "off"
  const scene = await stage("history", routes, 20)
  try {
    const running = await scene.world.up({ within: 120_000 })
    const prober = await Prober.connect(scene.port)
    const times: number[] = []
    const edit = async (version: number): Promise<void> => {
      const at = drop(scene.world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: "a", filters: [setHeader("x-version", String(version))] })))
      times.push(await timeUntil(prober, "web.example", at, (head) => head.toLowerCase().includes(`\r\nx-version: ${version}`)))
    }
    // Beyond the 64 that are kept anyway, and until code is compiled.
    for (let version = 0; version < WARM_UP; version++) await edit(version)
    times.length = 0
    const [bytes, cpu] = [bytesIn(join(scene.world.data, "nats")), cpuNow(running)]
    for (let version = 0; version < edits; version++) await edit(WARM_UP + version)
    const used = cpuNow(running).map((now, i) => (now - (cpu[i] ?? 0)) / edits)
    prober.close()
    return { bytes: (bytesIn(join(scene.world.data, "nats")) - bytes) / edits, cpu: used, times }
  } finally {
    await scene.end()
    if (before === undefined) delete process.env["HEADGATE_HISTORY"]
    else process.env["HEADGATE_HISTORY"] = before
  }
}

const cost = async (argv: readonly string[]): Promise<void> => {
  const [routes, edits, rounds] = [option(argv, "routes", 1000), option(argv, "edits", 1000), option(argv, "rounds", 5)]
  const runs: Record<"on" | "off", Cost[]> = { on: [], off: [] }
  for (let round = 0; round < rounds; round++) for (const how of round % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const)) runs[how].push(await costOf(how === "on", routes, edits))
  report(`History: what an edit costs with and without, ${routes} routes, ${edits} edits a round`, ["history", "bytes on disk an edit", ...parts.map((part) => `CPU of ${part}, ms`), "edit → answered, ms, p50 / p99 / max"],
    (["on", "off"] as const).map((how) => [how, middle(runs[how].map(({ bytes }) => bytes)), ...parts.map((_, i) => middle(runs[how].map(({ cpu }) => cpu[i] ?? Number.NaN))), spread(runs[how].flatMap(({ times }) => times))]),
    [`Median (min–max) of ${rounds} interleaved rounds. One route edited over and over; the disk is the server's store, the CPU includes the requests that ask for the edit.`])
}

const routeOf = (i: number, version: number): string =>
  JSON.stringify({ metadata: { name: `r${i}`, namespace: "default" }, spec: { hostnames: [`r${i}.example`], parentRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge" }], rules: [{ backendRefs: [{ group: "", kind: "Service", name: "a", port: 80, weight: 1 }], filters: [{ responseHeaderModifier: { set: [{ name: "x-version", value: String(version) }] }, type: "ResponseHeaderModifier" }], matches: [{ path: { type: "PathPrefix", value: "/" } }] }] } })
const entryOf = (i: number, version: number): string =>
  JSON.stringify({ attach: [{ hostnames: [`r${i}.example`], listener: "default/edge/http" }], created: "", priority: 0, rules: [{ backends: [{ cluster: "service/default/a/80", filters: [], weight: 1 }], filters: [{ add: [], remove: [], set: [["x-version", String(version)]], type: "responseHeaders" }], matches: [{ headers: [], path: { type: "prefix", value: "/" }, query: [] }] }], schema: 1, source: { kind: "HTTPRoute", name: `r${i}`, namespace: "default" } })

/** Edits as an adapter, a writer and a gateway would store them, each by its own code's messages. */
const fill = async (bus: Bus, routes: number, events: number): Promise<void> => {
  const writer = await openUnit(bus, { unit: { plane: "default", fn: "routes" }, epoch: 1, writer: "bench", version: "1", onSteppedDown: (_, message) => { throw new Error(message) } })
  /** A machine that does other things too may answer late: the same message again then. */
  const stored = async (message: Outgoing): Promise<Ack> => {
    for (;;) {
      try {
        return await bus.publish(message)
      } catch (error) {
        if (!(error instanceof BusError) || error.reason !== "timeout") throw error
      }
    }
  }
  const resource = (i: number, version: number) => stored({
    subject: resourceSubject("httproute", `default/r${i}`), data: routeOf(i, version), msgId: `r${i}/${version}`,
    headers: { [header.kind]: "httproute", [header.key]: `default/r${i}`, [header.generation]: String(version), [header.source]: `routes-${i % 20}.yaml` },
  })
  const change = (i: number, version: number, seq: number) => ({ subject: configSubject("default", "route", `httproute/default/r${i}`), body: entryOf(i, version), causes: [`httproute/default/r${i}@${seq}`] })
  const first: Ack[] = []
  for (let i = 0; i < routes; i += 500) first.push(...(await Promise.all(Array.from({ length: Math.min(500, routes - i) }, (_, k) => resource(i + k, 1)))))
  writer.stage(first.map(({ seq }, i) => change(i, 1, seq)))
  await writer.settled()
  for (let edit = 2; edit * 3 < events - routes; edit++) {
    const i = (edit * 7919) % routes
    const { seq } = await resource(i, edit)
    writer.stage([change(i, edit, seq)], { causes: [`httproute/default/r${i}@${seq}`] })
    await writer.settled()
    await stored({ msgId: `ack/${edit}`, subject: "applied.default.up", data: JSON.stringify({ schema: 1, pod: "up", plane: "default", ready: true, admin: "", units: { routes: { rev: edit, epoch: 1, seq, digest: "" } }, listeners: [], notes: [] }) })
  }
  await writer.stop()
}

const questions = async (argv: readonly string[]): Promise<void> => {
  const [routes, events, moments] = [option(argv, "routes", 20_000), option(argv, "events", 1_000_000), option(argv, "moments", 200)]
  const folder = mkdtempSync(join(tmpdir(), "headgate history "))
  const server = await startNatsServer({ binary: await findNatsServer(), storeDir: folder })
  const bus = await connectBus({ url: server.url, name: "bench" })
  const keeper = spawn(process.execPath, [join(root, "infra/cli/headgate.mjs"), "checkpoints"], { env: { ...process.env, HEADGATE_NATS_URL: server.url }, stdio: "ignore" })
  try {
    const started = performance.now()
    await fill(bus, routes, events)
    const filled = (performance.now() - started) / 1000
    const asked = past(bus)
    await until("the last commit is copied", async () => (await asked.stateAt("now", { resources: false, acks: false })).doubts.length === 0, 60_000)
    const { from, to } = await asked.window()
    const figures: (readonly string[])[] = []
    const measure = async (what: string, ask: (time: number) => Promise<{ readonly doubts: readonly string[] }>): Promise<void> => {
      const times: number[] = []
      for (let i = 0; i < moments; i++) {
        const time = from + Math.floor(Math.random() * (to - from))
        const since = performance.now()
        const { doubts } = await ask(time)
        times.push(performance.now() - since)
        if (doubts.length > 0) throw new Error(`not exact: ${doubts.join("; ")}`)
      }
      figures.push([what, String(moments), spread(times)])
    }
    await measure("the state of everything", (time) => asked.stateAt({ time }))
    await measure("one resource", (time) => asked.resourceAt(resourceSubject("httproute", `default/r${Math.floor(Math.random() * routes)}`), { time }))
    const since = performance.now()
    const versions = await asked.versionsOf(configSubject("default", "route", "httproute/default/r0"))
    figures.push([`every version of one entry (${versions.value.length}), whole window`, "1", (performance.now() - since).toFixed(0)])
    const timeOf = async (...args: readonly string[]): Promise<number> => {
      const at = performance.now()
      const child = spawn(process.execPath, [join(root, "infra/cli/headgate.mjs"), ...args], { env: { ...process.env, HEADGATE_NATS_URL: server.url }, stdio: "ignore" })
      const code = await new Promise((resolve) => child.once("exit", resolve))
      if (code !== 0) throw new Error(`headgate ${args.join(" ")} ended with ${String(code)}`)
      return performance.now() - at
    }
    const commands: Record<"at" | "object" | "entry", number[]> = { at: [], object: [], entry: [] }
    for (let i = 0; i < 5; i++) {
      const name = `r${Math.floor(Math.random() * routes)}`
      commands.at.push(await timeOf("at", new Date(from + Math.floor(Math.random() * (to - from))).toISOString(), `httproute/${name}`))
      commands.object.push(await timeOf("history", `httproute/${name}`))
      commands.entry.push(await timeOf("history", "route", `httproute/default/${name}`))
    }
    figures.push(["headgate at TIME httproute/NAME, the whole command", "5", middle(commands.at)], ["headgate history httproute/NAME, the whole command", "5", middle(commands.object)], ["headgate history route ID, the whole command", "5", middle(commands.entry)])
    const held = async (stream: StreamName): Promise<string> => `${stream} ${(await bus.info(stream)).messages}`
    report(`History: questions at ${routes} routes and ${events} events`, ["question", "asked", "ms, p50 / p99 / max"], figures, [
      `Moments chosen evenly over the window (${((to - from) / 1000).toFixed(0)} s; filled in ${filled.toFixed(0)} s). Checkpoints after ${EVENTS} events, looked for every 0.25 to 3 s. Budget: p99 300 ms.`,
      `Messages: ${(await Promise.all((["RESOURCES_HISTORY", "HISTORY", "APPLIED", "CHECKPOINTS"] as const).map(held))).join(", ")}; the store has ${(bytesIn(folder) / 2 ** 20).toFixed(0)} MiB.`,
    ])
  } finally {
    const ended = new Promise((resolve) => keeper.once("exit", resolve))
    keeper.kill("SIGTERM")
    await ended
    await bus.close()
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

export const run = async (argv: readonly string[]): Promise<void> => {
  const only = argv[argv.indexOf("--only") + 1]
  if (!argv.includes("--only") || only === "cost") await cost(argv)
  if (!argv.includes("--only") || only === "at") await questions(argv)
}
