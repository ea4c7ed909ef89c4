/** Real certificates and keys, made by openssl. */
import { execFileSync } from "node:child_process"
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto"
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { contentOf } from "../../../bus/kinds/secret-content.ts"
import { Authority, type Issued } from "../../../test/fixtures/authority.ts"
import { readKeyPair } from "./key-pair.ts"

let authority: Authority
let ec: Issued
let rsa: Issued
let ecKey = ""
beforeAll(() => {
  authority = new Authority()
  ec = authority.issue(["a.example"])
  rsa = authority.issue(["a.example"], "rsa")
  ecKey = readFileSync(ec.keyFile, "utf8")
})
afterAll(() => authority.end())

const openssl = (args: readonly string[], input: string): string => execFileSync("openssl", args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] })
const read = (data: Readonly<Record<string, string>>) => readKeyPair(contentOf({ stringData: data }).content)
const problem = (data: Readonly<Record<string, string>>): string => {
  const result = read(data)
  if (result.ok) throw new Error("it could be read")
  for (const secret of [ecKey, readFileSync(rsa.keyFile, "utf8")]) for (const line of secret.split("\n").filter((each) => each.length > 20 && !each.startsWith("-"))) expect(JSON.stringify(result)).not.toContain(line)
  return `${result.problem.reason} ${result.problem.field}: ${result.problem.message}`
}

describe("what can be read", () => {
  test.each(["ec", "rsa"] as const)("a chain and its key (%s): the digest is the leaf's, the key is PKCS#8", (type) => {
    const issued = type === "ec" ? ec : rsa
    const result = read({ "tls.crt": `Subject: a.example\n${issued.chain}\n\n${authority.certificate}`, "tls.key": readFileSync(issued.keyFile, "utf8") })
    if (!result.ok) throw new Error(result.problem.message)
    const { chain, key, keyDigest } = result.pair
    expect(chain).toBe(issued.chain + authority.certificate)
    expect(key.reveal()).toEqual(issued.key)
    const spki = createPublicKey(createPrivateKey({ key: issued.key, format: "der", type: "pkcs8" })).export({ format: "der", type: "spki" })
    expect(keyDigest).toBe(createHash("sha256").update(spki).digest("hex"))
  })
  test("keys in PKCS#1 and SEC1, with the curve's parameters before, give the same octets as in PKCS#8", () => {
    const rsaKey = openssl(["rsa", "-traditional"], readFileSync(rsa.keyFile, "utf8"))
    expect(rsaKey).toContain("BEGIN RSA PRIVATE KEY")
    const sec1 = openssl(["ecparam", "-name", "prime256v1"], "") + openssl(["ec"], ecKey)
    expect(sec1).toContain("BEGIN EC PRIVATE KEY")
    for (const [issued, key] of [[rsa, rsaKey], [ec, sec1]] as const) {
      const result = read({ "tls.crt": issued.chain, "tls.key": key })
      expect(result.ok && result.pair.key.reveal()).toEqual(issued.key)
    }
  })
  test("the leaf may stand anywhere in the chain", () => {
    const result = read({ "tls.crt": authority.certificate + ec.chain, "tls.key": ecKey })
    expect(result.ok && result.pair.chain).toBe(authority.certificate + ec.chain)
  })
  test("a private key in tls.crt, beside the certificate, is not published", () => {
    const result = read({ "tls.crt": ecKey + ec.chain, "tls.key": ecKey })
    expect(result.ok && result.pair.chain).toBe(ec.chain)
  })
})

describe("what cannot be used", () => {
  test("nothing there, or only half", () => {
    expect(problem({})).toBe("MissingData data: The Secret has no tls.crt.")
    expect(problem({ "tls.crt": ec.chain })).toBe("MissingData data: The Secret has no tls.key.")
    expect(problem({ "tls.crt": "", "tls.key": ecKey })).toBe("MissingData stringData.tls.crt: tls.crt is empty.")
  })
  test("a key of another certificate", () => {
    expect(problem({ "tls.crt": rsa.chain, "tls.key": ecKey })).toBe("KeyMismatch stringData.tls.key: The private key belongs to another certificate than the one in tls.crt.")
    expect(problem({ "tls.crt": rsa.chain + authority.certificate, "tls.key": ecKey })).toBe("KeyMismatch stringData.tls.key: The private key belongs to none of the 2 certificates in tls.crt.")
  })
  test("an encrypted key, in the new format and in the old", () => {
    for (const args of [["pkey", "-aes256", "-passout", "pass:x"], ["rsa", "-traditional", "-aes256", "-passout", "pass:x"]]) {
      expect(problem({ "tls.crt": rsa.chain, "tls.key": openssl(args, readFileSync(rsa.keyFile, "utf8")) })).toBe("EncryptedKey stringData.tls.key: The private key in tls.key is encrypted with a passphrase, which nobody can give here.")
    }
  })
  test("rubbish in a block, though text around it is none", () => {
    const rubbish = "not base64 at all: ".repeat(900)
    expect(problem({ "tls.crt": ec.chain.replace("\n", `\n${rubbish}\n`), "tls.key": ecKey })).toBe("InvalidCertificate stringData.tls.crt: tls.crt is not PEM: block 1 holds what is not base64.")
    expect(problem({ "tls.crt": ec.chain, "tls.key": ecKey.replace("\n", `\n${rubbish}\n`) })).toBe("InvalidKey stringData.tls.key: tls.key is not PEM: block 1 holds what is not base64.")
    expect(read({ "tls.crt": rubbish + ec.chain, "tls.key": `${rubbish}\n${ecKey}` }).ok).toBe(false)
    expect(read({ "tls.crt": `${rubbish}\n${ec.chain}`, "tls.key": `${rubbish}\n${ecKey}` }).ok).toBe(true)
  })
  test("blocks that are no certificate and no key, or more than one", () => {
    const pem = (label: string, der: Buffer): string => `-----BEGIN ${label}-----\n${der.toString("base64")}\n-----END ${label}-----\n`
    const der = Buffer.from(ec.chain.replaceAll(/-----[^-]+-----|\n/g, ""), "base64")
    expect(problem({ "tls.crt": pem("CERTIFICATE", ec.key), "tls.key": ecKey })).toBe("InvalidCertificate stringData.tls.crt: Certificate 1 of 1 in tls.crt is damaged.")
    expect(problem({ "tls.crt": ec.chain + pem("CERTIFICATE", Buffer.concat([der, ec.key])), "tls.key": ecKey })).toBe("InvalidCertificate stringData.tls.crt: Certificate 2 of 2 in tls.crt is damaged.")
    expect(problem({ "tls.crt": ecKey, "tls.key": ecKey })).toBe("InvalidCertificate stringData.tls.crt: tls.crt holds no certificate in PEM.")
    expect(problem({ "tls.crt": ec.chain, "tls.key": ec.chain })).toBe("InvalidKey stringData.tls.key: tls.key holds no private key in PEM.")
    expect(problem({ "tls.crt": ec.chain, "tls.key": pem("PRIVATE KEY", der) })).toBe("InvalidKey stringData.tls.key: The private key in tls.key is damaged.")
    expect(problem({ "tls.crt": ec.chain, "tls.key": pem("PRIVATE KEY", ec.key.subarray(0, 60)) })).toBe("InvalidKey stringData.tls.key: The private key in tls.key is damaged.")
  })
  test("a key whose private half is another than its public half", () => {
    const damaged = Buffer.from(ec.key)
    // In the private scalar, which begins at octet 36.
    damaged[40] = (damaged[40] ?? 0) ^ 0x10
    const result = problem({ "tls.crt": ec.chain, "tls.key": `-----BEGIN PRIVATE KEY-----\n${damaged.toString("base64")}\n-----END PRIVATE KEY-----\n` })
    expect(result).toBe("InvalidKey stringData.tls.key: The private key is damaged: its certificate does not confirm what it signs.")
  })
  test("kinds of keys that TLS servers do not use", () => {
    const x25519 = generateKeyPairSync("x25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString()
    const koblitz = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey.export({ format: "pem", type: "pkcs8" }).toString()
    expect(problem({ "tls.crt": ec.chain, "tls.key": x25519 })).toMatch(/^InvalidKey .*neither RSA, ECDSA nor Ed25519/)
    expect(problem({ "tls.crt": ec.chain, "tls.key": koblitz })).toMatch(/^InvalidKey .*on a curve that TLS servers do not use/)
  })
  test("more than 64 KiB", () => {
    expect(problem({ "tls.crt": ec.chain + "x".repeat(65_537 - ec.chain.length), "tls.key": ecKey })).toBe("InvalidCertificate stringData.tls.crt: tls.crt has 65537 octets; at most 65536 are read.")
    expect(read({ "tls.crt": ec.chain + "x".repeat(65_536 - ec.chain.length), "tls.key": ecKey }).ok).toBe(true)
  })
})
