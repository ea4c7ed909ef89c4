/** The folder that holds one installation's state (`HEADGATE_DATA`, default `.headgate`), held by one `up` at a time. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
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

export const writeRunning = (folder: string, running: Running): void => writeFileSync(file(folder), JSON.stringify(running))

/** Takes the folder for this process. Throws when another `up` that is alive holds it. */
export const holdDataFolder = (folder: string): { readonly previous: Running | undefined; release(): void } => {
  mkdirSync(join(folder, "logs"), { recursive: true })
  const lock = join(folder, "lock")
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" })
  } catch {
    const holder = Number(readFileSync(lock, "utf8"))
    if (holder !== process.pid && holder > 0 && alive(holder)) throw new Error(`another headgate up (pid ${holder}) runs on ${folder}; set HEADGATE_DATA to another folder to run two side by side`)
    writeFileSync(lock, String(process.pid))
  }
  return { previous: readRunning(folder), release: () => rmSync(lock, { force: true }) }
}
