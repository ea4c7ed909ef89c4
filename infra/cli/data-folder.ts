/** The folder that holds one installation's state (`HEADGATE_DATA`, default `.headgate`), held by one `up` at a time. */
import { execFileSync } from "node:child_process"
import { mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"

export const dataFolder = (): string => resolve(process.env["HEADGATE_DATA"] ?? ".headgate")

/** What a running `up` tells other commands. */
export interface Running {
  readonly pid: number
  readonly nats: string
  readonly natsPid?: number
  readonly port?: number
  /** Absolute path of the folder it watches. */
  readonly manifests?: string
}

const file = (folder: string): string => join(folder, "up.json")

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

export const readRunning = (folder: string): (Running & { readonly alive: boolean }) | undefined => {
  try {
    const value: unknown = JSON.parse(readFileSync(file(folder), "utf8"))
    if (typeof value !== "object" || value === null || !("pid" in value) || typeof value.pid !== "number" || !("nats" in value) || typeof value.nats !== "string") return undefined
    const number = (name: string): number | undefined => {
      const found: unknown = Reflect.get(value, name)
      return typeof found === "number" ? found : undefined
    }
    const [natsPid, port] = [number("natsPid"), number("port")]
    const manifests = "manifests" in value && typeof value.manifests === "string" ? { manifests: value.manifests } : {}
    return { pid: value.pid, nats: value.nats, alive: alive(value.pid), ...(natsPid === undefined ? {} : { natsPid }), ...(port === undefined ? {} : { port }), ...manifests }
  } catch {
    return undefined
  }
}

/** Whole at every moment: others read it while it is replaced. */
export const writeRunning = (folder: string, running: Running): void => {
  // A bus of the user's may have a password in its address.
  writeFileSync(`${file(folder)}.new`, JSON.stringify(running), { mode: 0o600 })
  renameSync(`${file(folder)}.new`, file(folder))
}

/** The command line of a process, "" of one that only waits to be reaped; undefined when it cannot be told. */
export const commandOf = (pid: number): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
  } catch {
    try {
      return execFileSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8", timeout: 5000, stdio: ["ignore", "pipe", "ignore"] })
    } catch {
      return undefined
    }
  }
}

/** A pid outlives its process, above all in containers: what runs under it now may be anything. */
const runsUp = (pid: number): boolean => {
  const command = commandOf(pid)
  return alive(pid) && (command === undefined || (/headgate|infra[\\/]cli/.test(command) && / up( |$)/.test(command.trim())))
}

/**
 * Takes the folder for this process; only its user can read what is in it. Throws when another `up` that is alive
 * holds it.
 */
export const holdDataFolder = (folder: string): { readonly previous: Running | undefined; release(): void } => {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  mkdirSync(join(folder, "logs"), { recursive: true })
  const lock = join(folder, "lock")
  while (!take(lock)) {
    const holder = holderOf(lock)
    const pid = Number(holder)
    if (pid !== process.pid && pid > 0 && runsUp(pid)) throw new Error(`another headgate up (pid ${pid}) runs on ${folder}; set HEADGATE_DATA to another folder to run two side by side`)
    if (holder !== undefined) discard(lock, holder)
  }
  return { previous: readRunning(folder), release: () => rmSync(lock, { force: true }) }
}

/** A link to the pid: unlike a file it is never there without its content. */
const take = (lock: string): boolean => {
  try {
    symlinkSync(String(process.pid), lock)
    return true
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false
    throw error
  }
}

const holderOf = (lock: string): string | undefined => {
  try {
    return readlinkSync(lock)
  } catch (error) {
    // No link: nothing of ours.
    return codeOf(error) === "ENOENT" ? undefined : ""
  }
}

/** Of several that discard the same lock one moves it away; who finds that it has moved another's gives it back. */
const discard = (lock: string, holder: string): void => {
  const aside = `${lock}.${process.pid}`
  try {
    renameSync(lock, aside)
    if (holderOf(aside) !== holder) renameSync(aside, lock)
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error
  }
  rmSync(aside, { force: true })
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined)
