import { createPrivateKey, createPublicKey, hash } from "node:crypto"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Authority } from "../../test/fixtures/authority.ts"
import { describe } from "./describe.ts"

let authority: Authority
beforeAll(() => { authority = new Authority() })
afterAll(() => authority.end())

const shown = (value: unknown): string =>
  describe({ resources: [{ kind: "secret", plane: "", key: "shop/tls", value, file: "secret.yaml" }], entries: [], applied: [] }, { kind: "secret", kindName: "Secret", name: "tls", namespace: "shop" }, () => undefined) ?? ""

test("a Secret: its certificate's names, term and issuer, who can open its key, and neither chain nor sealed key", () => {
  const { chain, key, fingerprint256 } = authority.issue(["b.example", "*.a.example"])
  const keyDigest = hash("sha256", createPublicKey(createPrivateKey({ key, format: "der", type: "pkcs8" })).export({ type: "spki", format: "der" }))
  const text = shown({ metadata: {}, type: "kubernetes.io/tls", keys: ["tls.crt", "tls.key"], tls: { chain, keyDigest, sealed: { other: "v1.beef.SEALED", default: "v1.cafe.SEALED" } }, problem: { reason: "KeyMismatch", field: "data.tls.key", message: "It is another's." } })
  expect(text).toMatch(/^Secret shop\/tls\nfile +secret\.yaml\ntype +kubernetes\.io\/tls\ndata +tls\.crt tls\.key\ncertificate +for \*\.a\.example b\.example\n +from \d{4}-\S+Z to \d{4}-\S+Z\n +issued by CN=/)
  expect(text).toContain(`ec, SHA-256 ${fingerprint256.replaceAll(":", "").toLowerCase()}\nsealed for  default other\nproblem     KeyMismatch  data.tls.key\n`)
  expect(text).not.toMatch(/SEALED|BEGIN|keyDigest/)
})

test("a Secret nobody wants has no certificate to show", () => {
  expect(shown({ metadata: {}, type: "Opaque", keys: [] })).toMatch(/^type +Opaque\ndata +none\ncertificate +not read/m)
})
