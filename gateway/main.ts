/**
 * The gateway process. First what was served last is loaded from disk and served; then the bus is asked. What wires
 * the parts is here, and nothing else.
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { accessOf, readPassword, type Access } from "../bus/access.ts"
import type { Bus } from "../bus/bus.ts"
import type { Applied, AppliedListener } from "../bus/kinds/applied.ts"
import { credentialsOf, gatewayRole } from "../bus/server/roles.ts"
import { encodeToken } from "../bus/subject.ts"
import { Acks } from "./ack.ts"
import { listenAdmin, listenProbes } from "./admin.ts"
import { parseFlags, usage, type Flags } from "./flags.ts"
import type { Bound } from "./listen.ts"
import { stdoutLog, type Log } from "./log.ts"
import { Notes } from "./notes.ts"
import { Serving, type Serves } from "./serving.ts"
import { loadSnapshot, SnapshotWriter } from "./snapshot.ts"
import { Subscription } from "./subscribe.ts"
import { bindKeys } from "./table/compile.ts"
import type { GatewayTracing } from "./telemetry/tracing.ts"
import { toDescriptor } from "./telemetry/output.ts"

const STDOUT = 1
/** It reads one, and writes the other; neither is a gateway's to make. */
const STREAMS = ["CONFIG", "APPLIED"] as const

/** Runs until SIGTERM or SIGINT. Exit code 2: wrong flags, 1: cannot start. */
export const main = async (argv: string[]): Promise<void> => {
  let flags: Flags | "help"
  try {
    flags = parseFlags(argv, process.env)
  } catch (error) {
    process.stderr.write(`headgate gateway: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 2
    return
  }
  if (flags === "help") {
    process.stdout.write(usage)
    return
  }
  // A reader of our output that went away is no reason to stop serving.
  process.stdout.on("error", () => {})
  const log = stdoutLog
  try {
    const gateway = await startGateway(flags, log)
    const { connectBus } = await import("../bus/jetstream.ts")
    const connecting = connect(async () => connectBus({ url: flags.natsUrl, name: `gateway ${flags.plane}/${flags.pod}`, streams: STREAMS, access: accessAs(flags) }), gateway, log)
    await stopSignal(log)
    await gateway.stop()
    await connecting.stop()
    log("info", "stopped")
    process.exit(0)
  } catch (error) {
    process.stderr.write(`headgate gateway: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
}

/** Throws Error for a file that cannot be read. */
const accessAs = ({ natsUrl, natsPassword, plane }: Flags): Access => {
  const access = accessOf(natsUrl, process.env)
  return natsPassword === undefined ? access : { ...access, ...credentialsOf(gatewayRole(plane), readPassword(natsPassword)), newPassword: () => readPassword(natsPassword) }
}

export interface Gateway {
  readonly adminPort: number
  applied(): Applied
  /** Once, when the bus can be reached. */
  attach(bus: Bus): void
  /** Lingers and drains, bounded by the flags. */
  stop(): Promise<void>
}

/** A gateway in this process that serves what is on disk; `attach` gives it a bus. */
export const startGateway = async (flags: Flags, log: Log): Promise<Gateway> => {
  const { plane, pod } = flags
  let isStopping = false
  const tracing = flags.tracing && (await (await import("./telemetry/tracing.ts")).startTracing({ ...flags.tracing, plane, pod, env: process.env, log }))
  const acks = new Acks(() => applied(), tracing?.swaps)
  const notes = new Notes(() => acks.request())
  const onChange = (): void => {
    acks.request()
    logListeners()
  }
  const serving = await serve(flags, { notes, log, tracing, onChange, onSwap: () => tracing?.swaps.swapping() })
  let snapshot: SnapshotWriter | undefined
  const subscription = new Subscription({
    plane, workers: [serving], notes,
    onStep: (fn, head, rows) => snapshot?.step(fn, head, rows),
    onReplaced: () => snapshot?.replaced(),
    onApplied: () => acks.request(),
    onRestored: () => acks.repeat(),
    traces: tracing?.swaps,
  })

  const listeners = (): AppliedListener[] => {
    const all: AppliedListener[] = []
    const tableNotes = serving.notes
    for (const [id, listener] of [...serving.listeners].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const conflict = tableNotes.get(`listener/${id}`)
      for (const key of bindKeys(listener)) {
        const bound: Bound | undefined = conflict === undefined ? serving.boundAt(key) : { address: flags.bind, port: 0, error: conflict.message }
        const { address, port, error, reason }: Bound = bound ?? { address: flags.bind, port: 0 }
        const { protocol, hostname, generation } = listener
        all.push({ id, protocol, ...(hostname === undefined ? {} : { hostname }), address, port, specPort: listener.port, ...(generation === undefined ? {} : { generation }), ...(error === undefined ? {} : { error }), ...(reason === undefined ? {} : { reason }) })
      }
    }
    return all
  }
  /** Once ready, a new listener's port does not take that back. */
  let wasBound = false
  const applied = (): Applied => {
    if (subscription.waiting === undefined && serving.isSettled) wasBound = true
    const waiting = isStopping ? "The gateway is stopping." : (subscription.waiting ?? (wasBound ? undefined : "Ports are being bound."))
    return {
      schema: 1, pod, plane, ready: waiting === undefined, ...(waiting === undefined ? {} : { waiting }),
      admin: `http://${flags.admin.host.includes(":") ? `[${flags.admin.host}]` : flags.admin.host}:${adminPort}`,
      units: Object.fromEntries([...subscription.units].map(([fn, { head: { rev, epoch, seq, digest } }]) => [fn, { rev, epoch, seq, digest }])),
      listeners: listeners(),
      notes: notes.list(serving.notes),
    }
  }
  let logged = ""
  const logListeners = (): void => {
    const now = listeners().map(({ id, address, port, specPort, error }) => ({ id, address, port, specPort, ...(error === undefined ? {} : { error }) }))
    const line = JSON.stringify(now)
    if (line === logged) return
    logged = line
    log("info", "listening", { listeners: now })
  }

  const allMetrics = async (): Promise<string> => (await serving.metrics()) + ownMetrics(applied(), subscription, serving)
  let adminPort = flags.admin.port
  const orStop = async (error: unknown): Promise<never> => {
    await serving.stop()
    throw error
  }
  const admin = await listenAdmin({
    ...flags.admin, tokenFile: flags.adminToken, applied,
    state: () => ({ generation: serving.generation, held: subscription.held, busAway: subscription.isStalled, incarnation: subscription.incarnation }),
    units: () => subscription.units,
    reload: () => subscription.reload(),
    metrics: allMetrics,
  }).catch(orStop)
  const probes = flags.probes && (await listenProbes({ ...flags.probes, applied, metrics: allMetrics }).catch(orStop))
  const bound = admin.address()
  if (bound !== null && typeof bound === "object") adminPort = bound.port

  const path = join(flags.data, `${encodeToken(plane)}.snapshot`)
  const onSnapshotError = (error: unknown): void => {
    const message = error instanceof Error ? error.message : String(error)
    notes.set("snapshot", { severity: "warning", reason: "SnapshotFailed", message: `The snapshot on disk cannot be used: ${message}. Serving goes on; a start without the bus would have nothing to serve.` })
    log("warning", "snapshot", { path, error: message })
  }
  const loaded = await loadSnapshot(path, plane).catch((error: unknown) => {
    onSnapshotError(error)
    return undefined
  })
  if (loaded !== undefined) {
    subscription.restore(loaded)
    log("info", "serving the snapshot on disk", { units: Object.fromEntries([...loaded.units].map(([fn, { head }]) => [fn, head.rev])) })
  }
  try {
    mkdirSync(flags.data, { recursive: true })
  } catch (error) {
    onSnapshotError(error)
  }
  snapshot = new SnapshotWriter({ path, plane, current: () => ({ incarnation: subscription.incarnation, units: subscription.units }), onError: onSnapshotError }, loaded === undefined)

  return {
    adminPort,
    applied,
    attach: (bus) => {
      tracing?.attach(bus)
      subscription.attach(bus)
      acks.attach(bus)
    },
    stop: async () => {
      isStopping = true
      acks.request()
      serving.leave()
      if (flags.linger > 0) await new Promise((resolve) => setTimeout(resolve, flags.linger))
      const cut = await serving.drain(flags.drain)
      if (cut > 0) log("warning", "connections were cut off", { connections: cut })
      await Promise.all([subscription.stop(), acks.flush(), snapshot.flush()])
      await serving.stop()
      await tracing?.stop()
      acks.stop()
      for (const server of [admin, probes]) {
        server?.close()
        server?.closeAllConnections()
      }
    },
  }
}

interface ServeOptions {
  readonly notes: Notes
  readonly log: Log
  readonly tracing: GatewayTracing | undefined
  readonly onChange: () => void
  readonly onSwap: () => void
}

/** This thread, or as many others as were asked for. */
const serve = async (flags: Flags, { notes, log, tracing, onChange, onSwap }: ServeOptions): Promise<Serves> => {
  const { workers: count } = flags
  if (count > 1) {
    const { migratesRequests, sharingRefused } = await import("./threads/shared-ports.ts")
    const refused = await sharingRefused()
    if (refused === undefined) {
      const { Threads } = await import("./threads/threads.ts")
      log("info", "workers", { count, ...(migratesRequests() === false ? { hint: "with net.ipv4.tcp_migrate_req=1 not even a worker that crashes loses a connection that waits for it" } : {}) })
      return new Threads({ ...flags, count, notes, log, onChange, onSwap, output: toDescriptor(STDOUT), sampler: tracing?.requests ? (flags.tracing?.sampler ?? null) : null, onSpan: (span) => tracing?.add(span) })
    }
    notes.set("workers", { severity: "warning", reason: "OneWorker", message: `There is one worker in place of ${count}: sockets cannot share an address here (${refused}).`, fix: "Ask for one worker, or run where they can: Linux, FreeBSD." })
  }
  return new Serving({ ...flags, notes, output: STDOUT, traces: tracing?.requests ?? null, onChange, onSwap })
}

const CONNECT_FIRST_MS = 50
const CONNECT_MAX_MS = 2000

/** Tries until the bus answers; serving does not wait for it. */
const connect = (open: () => Promise<Bus>, gateway: Gateway, log: Log): { stop(): Promise<void> } => {
  let bus: Bus | undefined
  const stopped = new AbortController()
  const run = async (): Promise<void> => {
    for (let attempt = 0; !stopped.signal.aborted; attempt++) {
      try {
        bus = await open()
        break
      } catch (error) {
        if (attempt === 0) log("warning", "the bus cannot be reached; trying again", { error: error instanceof Error ? error.message : String(error) })
        const wait = Math.min(CONNECT_MAX_MS, CONNECT_FIRST_MS * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random())
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, wait)
          stopped.signal.addEventListener("abort", () => {
            clearTimeout(timer)
            resolve()
          }, { once: true })
        })
      }
    }
    if (bus === undefined) return
    log("info", "connected to the bus")
    if (!stopped.signal.aborted) gateway.attach(bus)
  }
  const running = run()
  return {
    stop: async () => {
      stopped.abort()
      if (bus === undefined) return
      await running
      await bus.close()
    },
  }
}

/** Resolves with the first SIGTERM or SIGINT; the second ends the process at once. */
const stopSignal = (log: Log): Promise<void> =>
  new Promise((resolve) => {
    let isSecond = false
    const onSignal = (signal: NodeJS.Signals): void => {
      if (isSecond) process.exit(1)
      isSecond = true
      log("info", "draining", { signal })
      resolve()
    }
    process.on("SIGTERM", onSignal)
    process.on("SIGINT", onSignal)
  })

const ownMetrics = ({ ready, notes, units }: Applied, { held, isStalled }: Subscription, { clusters }: Serves): string => {
  const lines: string[] = []
  const gauge = (name: string, help: string, samples: readonly (readonly [labels: string, value: number])[]): void => {
    lines.push(`# HELP headgate_${name} ${help}`, `# TYPE headgate_${name} gauge`, ...samples.map(([labels, value]) => `headgate_${name}${labels} ${value}`))
  }
  gauge("ready", "1 once a complete configuration is served.", [["", ready ? 1 : 0]])
  gauge("bus_away", "1 while the bus cannot be reached.", [["", isStalled ? 1 : 0]])
  gauge("commits_held", "Commits that wait for clusters or certificates.", [["", held]])
  gauge("notes", "Notes on what is not served as asked for.", [["", notes.length]])
  gauge("clusters", "Clusters known.", [["", clusters]])
  gauge("unit_revision", "Revision served, by function.", Object.entries(units).map(([fn, { rev }]) => [`{function="${fn}"}`, rev]))
  return `${lines.join("\n")}\n`
}
