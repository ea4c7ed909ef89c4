/** What `describe` shows of a Secret: whose certificate it is, for whom and until when, and which data planes can open its key. */
import { X509Certificate } from "node:crypto"
import { readChain } from "../../functions/certs/chain.ts"
import { section } from "./explain-layout.ts"
import { at, list, textIn } from "./field.ts"

/** `value`: as published. Neither the chain, which says nothing to people, nor what is sealed is shown. */
export const secretBody = (value: unknown): readonly string[] => {
  const tls = at(value, "tls")
  const problem = at(value, "problem")
  const planes = Object.keys(at(tls, "sealed") ?? {}).sort()
  return [
    section("type", [textIn(at(value, "type"))]),
    section("data", [list(at(value, "keys")).map(textIn).join(" ") || "none"]),
    section("certificate", tls === undefined ? ["not read: no listener may refer to it, or it has a problem"] : certificateLines(textIn(at(tls, "chain")), textIn(at(tls, "keyDigest")))),
    section("sealed for", planes.length === 0 ? [] : [planes.join(" ")]),
    section("problem", problem === undefined ? [] : [[at(problem, "reason"), at(problem, "field")].map(textIn).join("  ").trimEnd(), `  ${textIn(at(problem, "message"))}`]),
  ]
}

const certificateLines = (pem: string, keyDigest: string): readonly string[] => {
  const chain = readChain(pem, keyDigest)
  if (chain === undefined) return ["none that belongs to the private key"]
  const { issuer, subject } = new X509Certificate(chain.pem)
  return [
    `for ${chain.names.join(" ") || "no name"}`,
    `from ${chain.notBefore} to ${chain.notAfter}`,
    issuer === subject ? "issued by itself" : `issued by ${issuer.split("\n").join(", ")}`,
    `${chain.keyType}${chain.bits === undefined ? "" : ` ${chain.bits}`}, SHA-256 ${chain.fingerprint}`,
  ]
}

