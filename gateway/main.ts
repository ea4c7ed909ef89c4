/**
 * The gateway process. First what was served last is loaded from disk and served; then the bus is asked. What wires
 * the parts is here, and nothing else.
 */
import { mkdirSync } from "node:fs"
import type http from "node:http"
import { join } from "node:path"
import { accessOf, readPassword, type Access } from "../bus/access.ts"
import type { Bus } from "../bus/bus.ts"
import type { Applied, AppliedListener } from "../bus/kinds/applied.ts"
import { credentialsOf, gatewayRole } from "../bus/server/roles.ts"
import { encodeToken } from "../bus/subject.ts"
import type { Bound } from "./acceptor.ts"
import { Acks } from "./ack.ts"
import { listenAdmin, listenProbes } from "./admin.ts"
import { connect } from "./connect.ts"
import { parseFlags, usage, type Flags } from "./flags.ts"
import { stdoutLog, type Log } from "./log.ts"
import { Notes } from "./notes.ts"
import { descriptorOf, type WorkersSocket } from "./restart/listening-socket.ts"
import { removePidFile, writePidFile } from "./restart/pid-file.ts"
import { type Predecessor, predecessorOf } from "./restart/predecessor.ts"
import { Restarts } from "./restart/restarts.ts"
import { Serving, type Serves } from "./serving.ts"
import { loadSnapshot, SnapshotWriter } from "./snapshot.ts"
import { Subscription } from "./subscribe.ts"
import { bindKeys } from "./table/compile.ts"
import type { GatewayTracing } from "./telemetry/tracing.ts"
import { ownMetrics } from "./telemetry/own-metrics.ts"

const STDOUT = 1
/** It reads one, and writes the other; neither is a gateway's to make. */
const STREAMS = ["CONFIG", "APPLIED"] as const

/** Runs until SIGTERM or SIGINT, or until another process has taken its place. Exit code 2: wrong flags, 1: cannot start. */
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
    const gateway = await startGateway(flags, log, predecessorOf(process.env))
    // What goes wrong is logged.
    process.on("SIGUSR2", () => void gateway.restart().catch(() => {}))
    const { connectBus } = await import("../bus/jetstream.ts")
    const connecting = connect(async () => connectBus({ url: flags.natsUrl, name: `gateway ${flags.plane}/${flags.pod}`, streams: STREAMS, access: accessAs(flags) }), (bus) => gateway.attach(bus), log)
    await Promise.race([stopSignal(log), gateway.succeeded])
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
  /** Has a new process take the place of this one. Resolves with its pid; rejects with why not, and serves on. */
  restart(): Promise<number>
  /** Resolves when another process has taken the place of this one: what is left to do is `stop`. Rejects when this one could not take that of the one before. */
  readonly succeeded: Promise<void>
  /** Lingers and drains, bounded by the flags. */
  stop(): Promise<void>
}

/** How long a successor waits for the bus before it takes over with what is on disk, ms. */
const BUS_MS = 2000

/** A gateway in this process that serves what is on disk; `attach` gives it a bus. With a predecessor it accepts nothing before it is current, and that one lets it. */
export const startGateway = async (given: Flags, log: Log, predecessor?: Predecessor): Promise<Gateway> => {
  const flags = predecessor === undefined ? given : { ...given, workers: predecessor.workers }
  const { plane, pod } = flags
  let isStopping = false
  const tracing = flags.tracing && (await (await import("./telemetry/tracing.ts")).startTracing({ ...flags.tracing, plane, pod, env: process.env, log }))
  const acks = new Acks(() => applied(), tracing?.swaps)
  const notes = new Notes(() => acks.request())
  /** Something waited for may be so now. */
  let look = (): void => {}
  const until = (isSo: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      look = () => {
        if (isSo()) resolve()
      }
      look()
    })
  const onChange = (): void => {
    acks.request()
    look()
    logListeners()
  }
  const serving = await serve(flags, { notes, log, tracing, onChange, onSwap: () => tracing?.swaps.swapping(), handed: predecessor?.sockets.filter(({ key }) => !OWN_PORTS.has(key)) })
  let snapshot: SnapshotWriter | undefined
  const subscription = new Subscription({
    plane, workers: [serving], notes,
    onStep: (fn, head, rows) => snapshot?.step(fn, head, rows),
    onReplaced: () => snapshot?.replaced(),
    onApplied: () => {
      acks.request()
      look()
    },
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
  const ownPorts = new Map<string, http.Server>()
  const openOwnPorts = async (): Promise<void> => {
    const fd = (of: string): number | undefined => predecessor?.sockets.find(({ key }) => key === of)?.fd
    const admin = await listenAdmin({
      ...flags.admin, tokenFile: flags.adminToken, applied, fd: fd("admin"),
      state: () => ({ generation: serving.generation, held: subscription.held, busAway: subscription.isStalled, incarnation: subscription.incarnation }),
      units: () => subscription.units,
      reload: () => subscription.reload(),
      restart: () => restart(),
      metrics: allMetrics,
    })
    ownPorts.set("admin", admin)
    adminPort = portOf(admin)
    if (flags.probes) ownPorts.set("probes", await listenProbes({ ...flags.probes, applied, fd: fd("probes"), metrics: allMetrics }))
  }
  const orStop = async (error: unknown): Promise<never> => {
    await serving.stop()
    throw error
  }
  if (predecessor === undefined) await openOwnPorts().catch(orStop)

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
  const writeSnapshot = (isNew: boolean): SnapshotWriter =>
    new SnapshotWriter({ path, plane, current: () => ({ incarnation: subscription.incarnation, units: subscription.units }), onError: onSnapshotError }, isNew)

  // Acks and the snapshot are one process's at a time: the one that serves, and is not to be replaced the next moment.
  let attached: Bus | undefined
  let isSilent = predecessor !== undefined
  const speak = (): void => {
    isSilent = false
    if (attached !== undefined) acks.attach(attached)
  }
  const restarts = new Restarts({
    workers: flags.workers, notes, log,
    obstacle: () => {
      if (isStopping) return "This process ends."
      if (flags.pidFile === undefined) return "Without --pid-file nobody would know which process is the gateway then: who supervises this one would take its end for the gateway's."
      return isSilent || predecessor?.isThere === true ? "The process before this one has not ended yet." : undefined
    },
    hold: async () => {
      const sockets = await serving.hold()
      await snapshot?.flush()
      return [...sockets, ...[...ownPorts].map(([key, server]) => ({ key, worker: 0, address: flags.admin.host, port: portOf(server), fd: descriptorOf(server) }))]
    },
    release: () => serving.release(),
    fallSilent: async () => {
      isSilent = true
      await acks.flush()
      acks.stop()
      await snapshot?.flush()
      snapshot = undefined
    },
    speakAgain: () => {
      if (flags.pidFile !== undefined) writePidFile(flags.pidFile)
      snapshot = writeSnapshot(true)
      speak()
    },
  })
  const { promise: succeeded, resolve: succeed, reject: fail } = Promise.withResolvers<void>()
  const restart = async (): Promise<number> => {
    const pid = await restarts.restart()
    succeed()
    return pid
  }
  const begin = (isNew: boolean): void => {
    snapshot = writeSnapshot(isNew)
    if (flags.pidFile !== undefined) writePidFile(flags.pidFile)
  }
  const takeOver = async (from: Predecessor): Promise<void> => {
    let isBusAwaited = true
    setTimeout(() => {
      isBusAwaited = false
      look()
    }, BUS_MS).unref()
    await until(() => subscription.isCurrent || (!isBusAwaited && subscription.isStalled && subscription.isReady))
    await from.ready()
    if (isStopping) return
    await openOwnPorts()
    serving.release()
    await until(() => serving.isSettled)
    begin(true)
    speak()
    from.serving()
    log("info", "took over", { workers: flags.workers })
  }
  if (predecessor === undefined) begin(loaded === undefined)
  else takeOver(predecessor).catch(fail)

  return {
    get adminPort() {
      return adminPort
    },
    applied,
    restart,
    succeeded,
    attach: (bus) => {
      attached = bus
      tracing?.attach(bus)
      subscription.attach(bus)
      if (!isSilent) acks.attach(bus)
    },
    stop: async () => {
      isStopping = true
      restarts.stop()
      let cut = 0
      if (restarts.hasSucceeded) {
        for (const server of ownPorts.values()) server.close()
        cut = await serving.handOver(flags.drain)
      } else {
        acks.request()
        serving.leave()
        if (flags.linger > 0) await new Promise((resolve) => setTimeout(resolve, flags.linger))
        cut = await serving.drain(flags.drain)
      }
      if (cut > 0) log("warning", "connections were cut off", { connections: cut })
      await Promise.all([subscription.stop(), acks.flush(), snapshot?.flush()])
      await serving.stop()
      await tracing?.stop()
      acks.stop()
      for (const server of ownPorts.values()) {
        server.close()
        server.closeAllConnections()
      }
      if (flags.pidFile !== undefined) removePidFile(flags.pidFile)
    },
  }
}

/** What they are called among sockets that are handed over. */
const OWN_PORTS: ReadonlySet<string> = new Set(["admin", "probes"])

const portOf = (server: http.Server): number => {
  const bound = server.address()
  return bound !== null && typeof bound === "object" ? bound.port : 0
}

interface ServeOptions {
  readonly notes: Notes
  readonly log: Log
  readonly tracing: GatewayTracing | undefined
  readonly onChange: () => void
  readonly onSwap: () => void
  readonly handed: readonly WorkersSocket[] | undefined
}

/** This thread, or as many others as were asked for. */
const serve = async (flags: Flags, { notes, log, tracing, onChange, onSwap, handed }: ServeOptions): Promise<Serves> => {
  const { workers: count } = flags
  if (count > 1) {
    const { migratesRequests, sharingRefused } = await import("./threads/shared-ports.ts")
    const refused = await sharingRefused()
    if (refused === undefined) {
      const { Threads } = await import("./threads/threads.ts")
      log("info", "workers", { count, ...(migratesRequests() === false ? { hint: "with net.ipv4.tcp_migrate_req=1 not even a worker that crashes loses a connection that waits for it" } : {}) })
      return new Threads({ ...flags, count, notes, log, onChange, onSwap, handed, output: STDOUT, sampler: tracing?.requests ? (flags.tracing?.sampler ?? null) : null, onSpan: (span) => tracing?.add(span) })
    }
    notes.set("workers", { severity: "warning", reason: "OneWorker", message: `There is one worker in place of ${count}: sockets cannot share an address here (${refused}).`, fix: "Ask for one worker, or run where they can: Linux, FreeBSD." })
  }
  return new Serving({ ...flags, notes, output: STDOUT, traces: tracing?.requests ?? null, onChange, onSwap, handed })
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
