/**
 * `headgate up`: only a supervisor. nats-server, file adapter, functions and gateway are processes of their own, the
 * same subcommands that run apart in a cluster.
 */
import { statSync } from "node:fs"
import { join, resolve } from "node:path"
import { CREDENTIALS, withoutPassword } from "../../bus/access.ts"
import { BusError, type Bus } from "../../bus/bus.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { appliedSubject } from "../../bus/subject.ts"
import { isLoopback } from "../../gateway/admin-access.ts"
import { operatorAccess, startBus } from "./bus-process.ts"
import { keepRunning, type Child } from "./child.ts"
import { dataFolder, holdDataFolder } from "./data-folder.ts"
import { prepareDemo } from "./demo.ts"
import { freePort } from "./free-port.ts"
import { partStarter } from "./part.ts"
import { ensurePlaneKey } from "./plane-key.ts"
import { untilReady } from "./readiness.ts"
import { untilServed } from "./served.ts"
import { readyLine, readyTable } from "./up-report.ts"

export interface UpOptions {
  readonly manifests: string | undefined
  readonly json: boolean
  readonly bind: string
  readonly admin: string
  readonly trace?: boolean
  readonly controllerNames: readonly string[]
}

const POD = "up"
const DRAIN = 20_000

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
  // Every part of the traces reads it for itself.
  if (options.trace === true) process.env["HEADGATE_TRACES"] = "on"
  try {
    const demo = options.manifests === undefined ? await prepareDemo(data) : undefined
    const manifests = demo?.manifests ?? resolve(options.manifests ?? "")
    const nats = await startBus(data, manifests, hold.previous, report, leaving.signal).catch((error: unknown) => {
      if (!leaving.signal.aborted) throw error
    })
    if (nats === undefined) return
    const part = partStarter(data, nats)
    const planeKey = ensurePlaneKey(data, "default")
    for (const backend of demo?.backends ?? []) {
      children.push(keepRunning({ name: `demo backend ${backend.name}`, report, ...part(`demo-${backend.name}`, async () => ["demo-backend", "--name", backend.name, "--port", String(backend.port)]) }))
    }
    const controllers = options.controllerNames.flatMap((name) => ["--controller-name", name])
    let admin = options.admin
    const gateway = keepRunning({ name: "gateway", report, ...part("gateway", async () => {
      admin = await freeAddress(admin, report)
      return ["gateway", "--plane", "default", "--pod", POD, "--bind", options.bind, "--admin", admin, "--admin-or-another", "--data", join(data, "gateway"), "--plane-key", planeKey.file]
    }, "gateway.default") })
    const functions = keepRunning({ name: "functions", report, ...part("functions", async () => ["functions"]) })
    const adapter = keepRunning({ name: "adapter", report, ...part("adapter", async () => ["adapter", "files", "--manifests", manifests, "--plane-keys", planeKey.folder, ...controllers]) })

    const bus = await connectBus({ url: nats.url, name: "up", access: operatorAccess(nats) })
    const applied = await Promise.race([untilReady(bus, appliedSubject("default", POD), untilServed(bus), gateway, manifests, demo !== undefined, report), stopped])
    if (applied !== undefined) process.stdout.write(options.json ? readyLine({ nats: withoutPassword(nats.url), credentials: nats.environment("operator")[CREDENTIALS], applied }) : readyTable({ nats: withoutPassword(nats.url), applied, manifests, demo: demo !== undefined, data }))
    // Not before: a start needs the processor for itself, and there is no past yet.
    if (applied !== undefined && (await keepsHistory(bus))) children.push(keepRunning({ name: "checkpoints", report, ...part("checkpoints", async () => ["checkpoints"], "history") }))
    await stopped
    await bus.close()
    await gateway.stop(DRAIN)
    await Promise.all([functions.stop(5000), adapter.stop(5000), ...children.map((child) => child.stop(5000))])
    await nats.stop()
  } finally {
    hold.release()
  }
}

/** Decided when the store was made (HEADGATE_HISTORY). While that cannot be known, yes: the part itself finds out. */
const keepsHistory = (bus: Bus): Promise<boolean> => bus.info("CHECKPOINTS").then(() => true, (error: unknown) => !(error instanceof BusError && error.reason === "no-stream"))

/** What no part could start with, however often it is tried. */
const mistakeIn = ({ manifests, admin }: UpOptions): string | undefined => {
  if (manifests !== undefined && statSync(manifests, { throwIfNoEntry: false })?.isDirectory() !== true) return `--manifests ${manifests} is not a folder`
  if (!/^(?:\[[0-9a-fA-F:]+\]|[^:[\]]+):\d{1,5}$/.test(admin)) return `--admin takes ADDRESS:PORT, as 127.0.0.1:9901, not "${admin}"`
  const host = admin.slice(0, admin.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1")
  return isLoopback(host) || process.env["HEADGATE_ADMIN_TOKEN_FILE"] !== undefined ? undefined : `--admin ${admin} can be reached from other machines: that takes a file with a token, named in HEADGATE_ADMIN_TOKEN_FILE`
}

/** The address asked for; another port when something else has it, which the gateway keeps over restarts. Of two that start together one finds it taken after all, and takes any. */
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
