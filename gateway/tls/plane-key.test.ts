import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { Redacted } from "../../bus/redacted.ts"
import { planeKey } from "../../bus/seal.ts"
import { PlaneKeyFile } from "./plane-key.ts"

const secret = Buffer.alloc(32, 0xab)
const { id } = planeKey(new Redacted(secret))
let folder = ""
let path = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "headgate-plane-key-"))
  path = join(folder, "plane.key")
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe("the data plane's key", () => {
  it.each([
    ["64 hexadecimal digits", secret.toString("hex")],
    ["the same with a line end", `${secret.toString("hex").toUpperCase()}\n`],
    ["32 octets", secret],
  ])("is read from %s", (_, content) => {
    writeFileSync(path, content, { mode: 0o600 })
    const file = new PlaneKeyFile(path)
    expect(file.get().id).toBe(id)
    expect(file.note).toBeUndefined()
  })

  it("is refused in any other form, and nothing of it is said", () => {
    const almost = secret.toString("hex").slice(1)
    writeFileSync(path, almost, { mode: 0o600 })
    expect(() => new PlaneKeyFile(path).get()).toThrow(/cannot be used: it has neither 32 octets nor 64 hexadecimal digits/)
    expect(() => new PlaneKeyFile(path).get()).not.toThrow(almost.slice(0, 8))
  })

  it("says that it is not there, or was not given", () => {
    expect(() => new PlaneKeyFile(path).get()).toThrow(/cannot be read \(ENOENT/)
    expect(() => new PlaneKeyFile(undefined).get()).toThrow("this gateway was given no key of its data plane (--plane-key)")
  })

  it("warns when others can read it", () => {
    writeFileSync(path, secret)
    chmodSync(path, 0o640)
    const file = new PlaneKeyFile(path)
    file.get()
    expect(file.note).toMatchObject({ severity: "warning", reason: "PlaneKeyExposed", message: expect.stringContaining("mode 640"), fix: `chmod 600 ${path}` })
  })

  it("stays the last good one when the file is exchanged for a bad one", () => {
    writeFileSync(path, secret, { mode: 0o600 })
    const file = new PlaneKeyFile(path)
    file.get()
    writeFileSync(path, "")
    expect(() => file.reread()).toThrow("cannot be used")
    expect(file.get().id).toBe(id)
    writeFileSync(path, Buffer.alloc(32, 1))
    expect(file.reread().id).not.toBe(id)
  })
})
