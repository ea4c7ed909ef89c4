import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { planeKeys } from "../adapters/wanted/plane-keys.ts"
import { ensurePlaneKey } from "./plane-key.ts"

test("a data plane's key is made once, for its user alone, as the adapter reads it", () => {
  const data = mkdtempSync(join(tmpdir(), "headgate-keys-"))
  try {
    const { folder, file } = ensurePlaneKey(data, "default")
    const made = readFileSync(file, "utf8")
    expect(made).toMatch(/^[0-9a-f]{64}\n$/)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(ensurePlaneKey(data, "default")).toEqual({ folder, file })
    expect(readFileSync(file, "utf8")).toBe(made)
    expect(planeKeys(folder)("default")).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{16}$/) })
    expect(planeKeys(folder)("other")).toBe("There is no key of data plane other.")
    expect(planeKeys(folder)("../keys/default")).toBe("The data plane's name cannot be that of a file.")
  } finally {
    rmSync(data, { recursive: true })
  }
})
