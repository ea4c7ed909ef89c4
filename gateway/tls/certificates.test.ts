import { createPrivateKey, randomBytes } from "node:crypto"
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { inspect } from "node:util"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import type { Certificate } from "../../bus/kinds/config.ts"
import { Redacted } from "../../bus/redacted.ts"
import { planeKey, seal } from "../../bus/seal.ts"
import { Authority, certificateEntry, type Issued } from "../../test/fixtures/authority.ts"
import { Certificates } from "./certificates.ts"
import { PlaneKeyFile } from "./plane-key.ts"

let authority: Authority
let ec: Issued
let renewed: Issued
let rsa: Issued
beforeAll(() => {
  authority = new Authority()
  ec = authority.issue(["a.test"])
  renewed = authority.issue(["a.test"])
  rsa = authority.issue(["a.test"], "rsa")
})
afterAll(() => authority.end())

const secret = randomBytes(32)
const key = planeKey(new Redacted(secret))
let keyFile = ""
let certificates: Certificates
let toldOfNotes = 0
beforeEach(() => {
  keyFile = join(authority.folder, "plane.key")
  writeFileSync(keyFile, secret, { mode: 0o600 })
  toldOfNotes = 0
  certificates = new Certificates({ plane: "default", key: new PlaneKeyFile(keyFile), onNotes: () => void toldOfNotes++ })
})
afterEach(() => certificates.stop())

const empty = (why: Certificate["empty"]): Certificate => ({ schema: 1, source: { kind: "Secret", namespace: "default", name: "a" }, names: [], ...(why === undefined ? {} : { empty: why }) })
const note = (id: string): string => certificates.notes.get(id)?.message ?? ""
/** No two octets of the key beside each other's text, in any usual form. */
const expectNothingOf = (issued: Issued, text: string): void => {
  const pem = createPrivateKey({ key: issued.key, format: "der", type: "pkcs8" }).export({ format: "pem", type: "pkcs8" }).toString()
  for (const form of [issued.key.toString("hex"), issued.key.toString("base64"), issued.key.toString("base64url"), pem.split("\n")[1] ?? "?"]) {
    for (let at = 40; at + 12 <= form.length; at += 12) expect(text).not.toContain(form.slice(at, at + 12))
  }
}

describe("what a listener presents", () => {
  it("is made once for the same content, and anew when it changes", () => {
    certificates.set("a", certificateEntry("a", ec, key))
    const presenter = certificates.present("l", ["a"])
    const context = presenter.find("a.test")
    expect(context).not.toBeNull()
    certificates.set("a", certificateEntry("a", ec, key))
    expect(presenter.find("other.test")).toBe(context)
    expect(certificates.present("m", ["a"]).find("")).toBe(context)
    certificates.set("a", certificateEntry("a", renewed, key))
    expect(presenter.find("a.test")).not.toBe(context)
    expect([...certificates.notes]).toEqual([])
  })

  it("holds certificates of two key types at once, and either of them alone", () => {
    certificates.set("a", certificateEntry("a", ec, key))
    const presenter = certificates.present("l", ["a", "b"])
    const alone = presenter.find("a.test")
    certificates.set("b", certificateEntry("b", rsa, key))
    const both = presenter.find("a.test")
    expect(both).not.toBe(alone)
    certificates.set("b", empty("NoSuchSecret"))
    expect(presenter.find("a.test")).not.toBe(both)
    expect(presenter.find("a.test")).not.toBeNull()
  })

  it("is nothing once the entry says it is empty, and the listener's note says why", () => {
    const presenter = certificates.present("gw/https", ["a", "b"])
    expect(note("tls/gw/https")).toBe("Listener gw/https refuses every handshake: nothing can be presented of a (not there), b (not there).")
    certificates.set("a", certificateEntry("a", ec, key))
    expect(certificates.notes.size).toBe(0)
    certificates.set("a", empty("Unusable"))
    expect(presenter.find("a.test")).toBeNull()
    expect(note("tls/gw/https")).toContain("a (Unusable), b (not there)")
    certificates.release("gw/https")
    expect(certificates.notes.size).toBe(0)
  })

  it("has the Gateway in the note that says why it is nothing", () => {
    certificates.present("infra/web/https", ["a"], { kind: "Gateway", namespace: "infra", name: "web" })
    expect(certificates.notes.get("tls/infra/web/https")).toMatchObject({ reason: "NoCertificate", about: { kind: "Gateway", namespace: "infra", name: "web" } })
  })

  it("stays while its Secret has not been read, and is what was read then", () => {
    certificates.set("a", certificateEntry("a", ec, key))
    const presenter = certificates.present("l", ["a"])
    const context = presenter.find("a.test")
    certificates.set("a", empty("NotRead"))
    expect(presenter.find("a.test")).toBe(context)
    certificates.set("a", certificateEntry("a", renewed, key))
    expect(presenter.find("a.test")).not.toBe(context)
    expect(presenter.find("a.test")).not.toBeNull()
    certificates.set("a", empty("NotRead"))
    certificates.set("a", empty("NoSuchSecret"))
    expect(presenter.find("a.test")).toBeNull()
    certificates.set("a", empty("NotRead"))
    expect(presenter.find("a.test")).toBeNull()
  })

  it("stays when its entry is removed, until no listener names it", () => {
    certificates.set("a", certificateEntry("a", ec, key))
    const presenter = certificates.present("l", ["a"])
    certificates.remove("a")
    expect(presenter.find("a.test")).not.toBeNull()
    certificates.present("l", [])
    expect(note("tls/l")).toBe("Listener l refuses every handshake: it names no certificate.")
    expect(certificates.present("m", ["a"]).find("a.test")).toBeNull()
  })
})

describe("an entry that cannot be used", () => {
  const sealedKey = (octets: Buffer, place = "default/default/a"): string => seal(key, place, new Redacted(octets))
  it.each([
    ["whose key is of another certificate", () => ({ key: sealedKey(renewed.key) }), "its private key is of another certificate"],
    ["whose key is none", () => ({ key: sealedKey(Buffer.from("no key at all")) }), "its private key is no key in PKCS#8"],
    ["sealed for another place", () => ({ key: sealedKey(ec.key, "default/default/b") }), "its private key cannot be opened: it is damaged, or was sealed for another place"],
    ["sealed with another key", () => ({ key: seal(planeKey(new Redacted(randomBytes(32))), "default/default/a", new Redacted(ec.key)) }), "it is sealed with the key"],
    ["that is not sealed", () => ({ key: ec.key.toString("base64") }), "it is not sealed in a way this program knows"],
    ["whose chain is rubbish", () => ({ chain: `-----BEGIN CERTIFICATE-----\n${"A".repeat(16_000)}\n-----END CERTIFICATE-----\n` }), "its chain does not begin with a certificate in PEM"],
  ])("%s is parked with a note that quotes nothing of a key, and the last good one stays", (_, change, message) => {
    const presenter = certificates.present("l", ["a"])
    certificates.set("a", { ...certificateEntry("a", ec, key), ...change() })
    expect(presenter.find("a.test")).toBeNull()
    expect(note("certificate/a")).toContain(message)
    expect(note("tls/l")).toContain("a (parked)")
    certificates.set("a", certificateEntry("a", ec, key))
    const good = presenter.find("a.test")
    expect(certificates.notes.size).toBe(0)
    certificates.set("a", { ...certificateEntry("a", renewed, key), ...change(), ...(message.includes("another certificate") ? { key: sealedKey(ec.key) } : {}) })
    expect(presenter.find("a.test")).toBe(good)
    expect(certificates.notes.get("certificate/a")).toMatchObject({ severity: "error", reason: "CertificateParked", about: { kind: "Secret", namespace: "default", name: "a" }, message: expect.stringContaining("The last good one stays in force.") })
    for (const issued of [ec, renewed]) expectNothingOf(issued, JSON.stringify([...certificates.notes.values()]) + inspect(certificates, { depth: 9, showHidden: true }))
    certificates.set("a", empty("Unusable"))
    expect(presenter.find("a.test")).toBeNull()
    expect(note("certificate/a")).toBe("")
  })

  it("because OpenSSL finds its key too short is parked too", () => {
    certificates.set("a", certificateEntry("a", authority.issue(["a.test"], "rsa", ["-newkey", "rsa:1024"]), key))
    expect(note("certificate/a")).toMatch(/ee key too small/)
  })

  it("for want of the plane's key is opened when the key comes, and a key that was exchanged is read again", () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })
    try {
      rmSync(keyFile)
      expect(existsSync(keyFile)).toBe(false)
      const presenter = certificates.present("l", ["a"])
      certificates.set("a", certificateEntry("a", ec, key))
      expect(note("certificate/a")).toMatch(/the data plane's key cannot be read \(ENOENT/)
      vi.advanceTimersByTime(5000)
      expect(toldOfNotes).toBe(0)
      writeFileSync(keyFile, secret, { mode: 0o600 })
      vi.advanceTimersByTime(5000)
      expect(presenter.find("a.test")).not.toBeNull()
      expect(certificates.notes.size).toBe(0)
      expect(toldOfNotes).toBe(1)
      expect(vi.getTimerCount()).toBe(1)
      const next = randomBytes(32)
      writeFileSync(keyFile, next)
      const before = presenter.find("a.test")
      certificates.set("a", certificateEntry("a", renewed, planeKey(new Redacted(next))))
      expect(presenter.find("a.test")).not.toBe(before)
      expect([...certificates.notes.keys()]).toEqual([])
    } finally {
      vi.useRealTimers()
    }
  })
})
