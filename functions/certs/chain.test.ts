import { execFileSync } from "node:child_process"
import { createPublicKey, hash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { covers, readChain } from "./chain.ts"
import { momentsWanted, validityOf } from "../gateway-api/validity.ts"

let folder = ""
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), "headgate-chain-")) })
afterAll(() => rmSync(folder, { recursive: true }))

/** Self-signed; `alternatives`: lines of an openssl section. */
const chainWith = (subject: string, alternatives: readonly string[], days = 90): ReturnType<typeof readChain> => {
  const [config, crt, key] = ["openssl.cnf", "tls.crt", "tls.key"].map((name) => join(folder, name))
  if (config === undefined || crt === undefined || key === undefined) throw new Error("no paths")
  writeFileSync(config, ["[req]", "distinguished_name=dn", "x509_extensions=v3", "[dn]", "[v3]", "basicConstraints=CA:FALSE", ...(alternatives.length === 0 ? [] : ["subjectAltName=@alt", "[alt]", ...alternatives])].join("\n"))
  execFileSync("openssl", ["req", "-x509", "-config", config, "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", crt, "-subj", subject, "-days", String(days)], { stdio: ["ignore", "ignore", "pipe"] })
  const pem = readFileSync(crt, "utf8")
  return readChain(pem, hash("sha256", createPublicKey(pem).export({ type: "spki", format: "der" })))
}

describe("names of a leaf", () => {
  test("a name that holds a comma is not taken for two", () => {
    expect(chainWith("/CN=a.example", ["DNS.1=evil.example, DNS:victim.example", "DNS.2=fine.example"])?.names).toEqual(["fine.example"])
  })
  test("the common name counts only where there is no alternative", () => {
    expect(chainWith("/O=x/CN=A.example", [])?.names).toEqual(["a.example"])
    expect(chainWith("/CN=a.example", ["DNS.1=B.example", "IP.1=192.0.2.7", "email.1=x@a.example", "URI.1=spiffe://a/b"])?.names).toEqual(["192.0.2.7", "b.example"])
  })
})

test("what is no certificate, or has another key, is no chain", () => {
  const chain = chainWith("/CN=a.example", [])
  expect(readChain(chain?.pem ?? "", "0".repeat(64))).toBeUndefined()
  expect(readChain("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "0".repeat(64))).toBeUndefined()
  expect(readChain("", "")).toBeUndefined()
})

test.each([
  ["a.example", "a.example", true],
  ["*.example", "a.example", true],
  ["*.example", "b.a.example", false],
  ["*.example", "example", false],
  ["*.a.example", "*.a.example", true],
  ["b.a.example", "*.a.example", true],
  ["a.example", "*.a.example", false],
  ["*.example", "*.a.example", false],
  ["xa.example", "a.example", false],
])("%s is for %s: %s", (name, hostname, expected) => expect(covers(name, hostname)).toBe(expected))

describe("validity", () => {
  const soonOf = (days: number): number => {
    const chain = chainWith("/CN=a.example", [], days)
    if (chain === undefined) throw new Error("no chain")
    const [, [, soon] = ["", ""]] = momentsWanted(chain)
    return Math.round((Date.parse(chain.notAfter) - Date.parse(soon)) / 86_400_000)
  }
  test("the end is said two weeks before, of a short life in its last third", () => {
    expect([365, 60, 42, 6].map(soonOf)).toEqual([14, 14, 14, 2])
  })
  test("not yet is told from not yet answered", () => {
    const chain = chainWith("/CN=a.example", [])
    if (chain === undefined) throw new Error("no chain")
    const wanted = momentsWanted(chain)
    expect(wanted.map(([id]) => id).toSorted().at(-1)).toMatch(/^probe\//)
    const [notBefore = "", soon = "", notAfter = "", probe = ""] = wanted.map(([, moment]) => moment)
    const given = (...come: readonly string[]) => validityOf(chain, (moment) => come.includes(moment))
    expect([given(), given(probe), given(notBefore), given(notBefore, probe), given(notBefore, probe, soon), given(notBefore, probe, soon, notAfter)]).toEqual(["Valid", "NotYetValid", "Valid", "Valid", "ExpiresSoon", "Expired"])
  })
})
