/**
 * `headgate up`: only a supervisor. nats-server, file adapter, functions and gateway are processes of their own, the
 * same subcommands that run apart in a cluster.
 */
import type { ChildProcess } from "node:child_process"
import { openSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { connectBus } from "../../bus/jetstream.ts"
import { findNatsServer, startNatsServer } from "../../bus/server.ts"
import { appliedSubject } from "../../bus/subject.ts"
import type { Applied } from "../../bus/kinds/applied.ts"
import { keepRunning, type Child } from "./child.ts"
import { commandOf, dataFolder, holdDataFolder, writeRunning, type Running } from "./data-folder.ts"
import { moveDemo, prepareDemo } from "./demo.ts"
import { freePort } from "./free-port.ts"
import { answers, followApplied } from "./readiness.ts"
import { partStarter } from "./part.ts"
import { readyLine, readyTable } from "./up-report.ts"

export interface UpOptions {
  readonly manifests: string | undefined
  readonly json: boolean
  readonly bind: string
  readonly admin: string
  readonly controllerNames: readonly string[]
}

const POD = "up"
const DRAIN = 20_000
/** A start that takes longer says what it waits for, ms. */
const SLOW = 3000
/** A listener that did not answer is asked again after this, ms: the gateway says nothing more unless something changes. */
const PROBE_AGAIN = 200

/** Runs until SIGINT or SIGTERM; a second one kills. Rejects when it cannot start. */
export const up = async (options: UpOptions): Promise<void> => {
  const mistake = mistakeIn(options)
  if (mistake !== undefined) throw new Error(mistake)
  const data = dataFolder()
  const hold = holdDataFolder(data)
  const report = (line: string): void => void process.stderr.write(`${line}\n`)
  const stopped = untilSignalled(report)
  const leaving = new AbortController()
  void stopped.then(() => leaving.abort())
  const children: Child[] = []
  try {
    const demo = options.manifests === undefined ? await prepareDemo(data) : undefined
    const manifests = demo?.manifests ?? resolve(options.manifests ?? "")
    const nats = await startBus(data, manifests, hold.previous, report, leaving.signal).catch((error: unknown) => {
      if (!leaving.signal.aborted) throw error
    })
    if (nats === undefined) return
    const part = partStarter(data, nats.url)
    for (const backend of demo?.backends ?? []) {
      children.push(keepRunning({ name: `demo backend ${backend.name}`, report, ...part(`demo-${backend.name}`, async () => ["demo-backend", "--name", backend.name, "--port", String(backend.port)]) }))
    }
    const controllers = options.controllerNames.flatMap((name) => ["--controller-name", name])
    let admin = options.admin
    const gateway = keepRunning({ name: "gateway", report, ...part("gateway", async () => {
      admin = await freeAddress(admin, report)
      return ["gateway", "--plane", "default", "--pod", POD, "--bind", options.bind, "--admin", admin, "--data", join(data, "gateway")]
    }) })
    const functions = keepRunning({ name: "functions", report, ...part("functions", async () => ["functions"]) })
    const adapter = keepRunning({ name: "adapter", report, ...part("adapter", async () => ["adapter", "files", "--manifests", manifests, ...controllers]) })

    const bus = await connectBus({ url: nats.url, name: "up" })
    const applied = await Promise.race([untilReady(bus, gateway, manifests, demo !== undefined, report), stopped])
    if (applied !== undefined) process.stdout.write(options.json ? readyLine(nats.url, applied) : readyTable({ nats: nats.url, applied, manifests, demo: demo !== undefined, data }))
    await stopped
    await bus.close()
    await gateway.stop(DRAIN)
    await Promise.all([functions.stop(5000), adapter.stop(5000), ...children.map((child) => child.stop(5000))])
    await nats.stop()
  } finally {
    hold.release()
  }
}

/** What no part could start with, however often it is tried. */
const mistakeIn = ({ manifests, admin }: UpOptions): string | undefined => {
  if (manifests !== undefined && statSync(manifests, { throwIfNoEntry: false })?.isDirectory() !== true) return `--manifests ${manifests} is not a folder`
  return /^(?:\[[0-9a-fA-F:]+\]|[^:[\]]+):\d{1,5}$/.test(admin) ? undefined : `--admin takes ADDRESS:PORT, as 127.0.0.1:9901, not "${admin}"`
}

/** The address asked for; another port when something else has it. Asked anew at each start: between two that start together one loses. */
const freeAddress = async (wanted: string, report: (line: string) => void): Promise<string> => {
  const colon = wanted.lastIndexOf(":")
  const [host, port] = [wanted.slice(0, colon), Number(wanted.slice(colon + 1))]
  const free = await freePort(port, host.replace(/^\[(.*)\]$/, "$1"))
  if (free !== port) report(`admin port ${port} is taken: using ${free}`)
  return `${host}:${free}`
}

/** Signals closer together than this, ms, are one Ctrl-C: npm passes on what the terminal has sent to its whole group. */
const ONE_PRESS = 1000

/** Resolves at the first SIGINT or SIGTERM; at the second the process ends, and with it, by their pipes, its children. */
const untilSignalled = (report: (line: string) => void): Promise<undefined> =>
  new Promise((resolve) => {
    let since: number | undefined
    const end = (): void => {
      if (since !== undefined) return
      since = performance.now()
      report("draining; again to stop at once")
      resolve(undefined)
    }
    const onSignal = (): void => {
      if (since !== undefined && performance.now() - since > ONE_PRESS) process.exit(130)
      end()
    }
    process.on("SIGINT", onSignal)
    process.on("SIGTERM", onSignal)
  })

interface RunningBus {
  readonly url: string
  stop(): Promise<void>
}

const startBus = async (data: string, manifests: string, previous: Running | undefined, report: (line: string) => void, signal: AbortSignal): Promise<RunningBus> => {
  const given = process.env["HEADGATE_NATS_URL"]
  if (given !== undefined && given !== "") {
    writeRunning(data, { pid: process.pid, nats: given, manifests })
    return { url: given, stop: async () => undefined }
  }
  const binary = await findNatsServer({ progress: report, signal })
  const log = openSync(join(data, "logs", "nats-server.log"), "a")
  const storeDir = join(data, "nats")
  if (previous?.natsPid !== undefined) await endOrphan(previous.natsPid, storeDir)
  // The same port as before, so that whoever knows it finds it again; another one when it is taken.
  const options = { binary, storeDir, stdio: log, detached: true }
  const first = await startNatsServer({ ...options, ...(previous?.port === undefined ? {} : { port: previous.port }) }).catch(() => startNatsServer(options))
  const remember = (process_: ChildProcess): void => writeRunning(data, { pid: process.pid, nats: first.url, port: first.port, manifests, ...(process_.pid === undefined ? {} : { natsPid: process_.pid }) })
  remember(first.process)
  let started: ChildProcess | undefined = first.process
  const child = keepRunning({
    name: "nats-server",
    report,
    start: async () => {
      const process_ = started ?? (await startNatsServer({ ...options, port: first.port })).process
      started = undefined
      remember(process_)
      return process_
    },
  })
  // It watches no pipe: where this process still can, it takes it along.
  process.once("exit", () => child.current()?.kill("SIGTERM"))
  return { url: first.url, stop: () => child.stop(10_000) }
}

/** A nats-server whose supervisor was killed still holds the store: two on one store would ruin it. Known by the store it was started on, as its pid may be anything's by now. */
const endOrphan = async (pid: number, storeDir: string): Promise<void> => {
  const holdsStore = (): boolean => commandOf(pid)?.includes(storeDir) === true
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (!holdsStore()) return
    try {
      process.kill(pid, signal)
    } catch {
      // It ended by itself, or is another user's: looked at again below.
    }
    for (let i = 0; i < 100 && holdsStore(); i++) await new Promise((next) => setTimeout(next, 50))
  }
  if (holdsStore()) throw new Error(`the nats-server of the run before (pid ${pid}) does not end and holds ${storeDir}: end it, or set HEADGATE_DATA to another folder`)
}

/** The gateway has acked a whole configuration, and every listener that could be bound answers; there is at least one. */
const untilReady = (bus: Parameters<typeof followApplied>[0], gateway: Child, manifests: string, isDemo: boolean, report: (line: string) => void): Promise<Applied> =>
  new Promise((resolve) => {
    const said = new Set<string>()
    const sayOnce = (line: string): void => {
      if (!said.has(line)) report(line)
      said.add(line)
    }
    let latest: Applied | undefined
    let waiting = "The gateway has not said anything yet."
    const slow = setInterval(() => {
      sayOnce(`not ready yet: ${waiting} ("headgate get" tells more; manifests: ${manifests})`)
      if (isDemo) for (const { error, port, specPort } of latest?.listeners ?? []) if (error !== undefined && port === 0) void moveAway(specPort)
    }, SLOW).unref()
    const moveAway = async (port: number): Promise<void> => {
      const free = await moveDemo(manifests, port)
      if (free !== undefined) sayOnce(`the demo moves to port ${free}`)
    }
    const check = async (applied: Applied): Promise<void> => {
      waiting = applied.waiting ?? (applied.listeners.length === 0 ? "There is no Gateway with a listener." : "A listener does not answer.")
      for (const { id, error } of applied.listeners) if (error !== undefined) sayOnce(`listener ${id}: ${error}`)
      if (!applied.ready || gateway.current() === undefined) return
      const bound = applied.listeners.filter((listener) => listener.port > 0)
      const all = await Promise.all(bound.map(answers))
      if (applied !== latest || bound.length === 0) return
      if (!all.every(Boolean)) return void setTimeout(() => void check(applied), PROBE_AGAIN)
      latest = undefined
      clearInterval(slow)
      await stop()
      resolve(applied)
    }
    const stop = followApplied(bus, appliedSubject("default", POD), (applied) => void check((latest = applied)))
  })
