/** The nats-server under `headgate up`, and the one that a killed `up` has left behind. */
import type { ChildProcess } from "node:child_process"
import { openSync } from "node:fs"
import { join } from "node:path"
import { accessOf, CREDENTIALS, type Access } from "../../bus/access.ts"
import { findNatsServer, roleNames, startNatsServer } from "../../bus/server.ts"
import { keepRunning } from "./child.ts"
import { commandOf, writeRunning, type Running } from "./data-folder.ts"
import { credentialsFile, prepareRoles } from "./roles.ts"

export interface RunningBus {
  readonly url: string
  /** What a part of this role is told about the bus: its own credentials and nobody else's, or, on a bus of the user's, what the user has said. */
  environment(role: string): Readonly<Record<string, string>>
  stop(): Promise<void>
}

/** Data planes that `up` runs. */
const PLANES = ["default"]

/** Of this process, as the user of people's commands. */
export const operatorAccess = ({ url, environment }: Pick<RunningBus, "url" | "environment">): Access => accessOf(url, { ...process.env, ...environment("operator") })

/** What is told of a nats-server on the data folder. It is on this machine and speaks no TLS, whatever else is set for a bus of the user's. */
export const ownEnvironment = (data: string, url: string) => (role: string): Readonly<Record<string, string>> => ({
  HEADGATE_NATS_URL: url,
  HEADGATE_NATS_CA: "", HEADGATE_NATS_CERT: "", HEADGATE_NATS_KEY: "",
  [CREDENTIALS]: roleNames(PLANES).includes(role) ? credentialsFile(data, role) : "",
})

/** The bus of HEADGATE_NATS_URL, else a nats-server on the data folder, kept running. */
export const startBus = async (data: string, manifests: string, previous: Running | undefined, report: (line: string) => void, signal: AbortSignal): Promise<RunningBus> => {
  const given = process.env["HEADGATE_NATS_URL"]
  if (given !== undefined && given !== "") {
    writeRunning(data, { pid: process.pid, nats: given, manifests })
    return { url: given, environment: () => ({ HEADGATE_NATS_URL: given }), stop: async () => undefined }
  }
  const binary = await findNatsServer({ progress: report, signal })
  const log = openSync(join(data, "logs", "nats-server.log"), "a")
  const storeDir = join(data, "nats")
  if (previous?.natsPid !== undefined) await endOrphan(previous.natsPid, storeDir)
  const config = prepareRoles(data, storeDir, PLANES)
  // The same port as before, so that whoever knows it finds it again; another one when it is taken.
  const options = { binary, storeDir, config, stdio: log, detached: true }
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
  return { url: first.url, environment: ownEnvironment(data, first.url), stop: () => child.stop(10_000) }
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
