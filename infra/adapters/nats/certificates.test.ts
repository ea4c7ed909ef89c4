import { generateKeyPairSync } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { Authority } from "../../../test/fixtures/authority.ts"
import { authorityOf, currentAuthority, fingerprintOf } from "./certificates.ts"

const now = Date.UTC(2026, 10, 22)
const year = 365 * 86_400_000

test("an authority is kept until a third of its life is left, and its key goes on in the next", () => {
  const first = currentAuthority({}, now)
  expect(currentAuthority(first, now + 6 * year)).toEqual(first)
  const second = currentAuthority(first, now + 7 * year)
  expect(second.key).toBe(first.key)
  expect(fingerprintOf(second.certificate)).not.toBe(fingerprintOf(first.certificate))
})

test("what is no authority is replaced where one is made, and refused where one is only used", () => {
  const broken = { certificate: "garbage", key: "garbage" }
  expect(authorityOf(currentAuthority(broken, now)).certificate).toContain("BEGIN CERTIFICATE")
  const { certificate } = currentAuthority({}, now)
  const otherKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  for (const pair of [broken, { certificate, key: otherKey }]) expect(() => authorityOf(pair)).toThrow("no certificate with its key")
})

test("an authority of somebody else's is refused with its name, and never signs", () => {
  const other = new Authority()
  try {
    const pair = { certificate: other.certificate, key: readFileSync(join(other.folder, "ca.key"), "utf8") }
    for (const use of [() => currentAuthority(pair, now), () => authorityOf(pair)]) expect(use).toThrow('"CN=Headgate test authority" was not made by Headgate')
  } finally {
    other.end()
  }
})
