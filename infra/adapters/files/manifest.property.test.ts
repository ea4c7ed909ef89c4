/** Manifests of Secrets that are damaged at random: whatever is said of them, and whatever is published, quotes no key. */
import { generateKeyPairSync } from "node:crypto"
import fc from "fast-check"
import { expect, test } from "vitest"
import { secretManifest } from "../../../test/fixtures/misplaced-keys.ts"
import { readManifest } from "./manifest.ts"

const key = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString() + generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ format: "pem", type: "pkcs8" }).toString()
const base64 = Buffer.from(key).toString("base64")
const texts = [
  secretManifest("certificate", key),
  `apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\nstringData:\n  tls.crt: certificate\n  tls.key: |\n${key.replaceAll(/^/gm, "    ")}\n`,
  JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata: { name: "tls" }, stringData: { "tls.key": key } }),
  `apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: tls}, data: {tls.key: ${base64}}}\n`,
]

/** As many characters as may be said of a name. */
const WINDOW = 41
const windowsOf = (text: string): readonly string[] => Array.from({ length: Math.max(0, text.length - WINDOW + 1) }, (_, at) => text.slice(at, at + WINDOW))
const secret = new Set([base64, ...key.split("\n").filter((line) => !line.startsWith("-"))].flatMap(windowsOf))

const edits = fc.array(fc.record({ at: fc.nat(), remove: fc.nat({ max: 3 }), insert: fc.constantFrom("", "\n", "\n  ", ":", ": ", ": x\n  ", "  ", "- ", "{", "}", "[", "]", '"', "'", "|", "\n|", "? ", "&a ", "*a ", "!x ", "#", " #", "%", ",", "\t", "\\q", "\u0001", "\n---\n", "kind: ") }), { minLength: 1, maxLength: 6 })

test("nothing of the key is said, however the text is damaged", () => {
  let refused = 0
  fc.assert(
    fc.property(fc.constantFrom(...texts), edits, (text, changes) => {
      const damaged = changes.reduce((now, { at, remove, insert }) => {
        const place = at % (now.length + 1)
        return now.slice(0, place) + insert + now.slice(place + remove)
      }, text)
      for (const json of [false, true]) {
        const { objects, problems, blocked } = readManifest(damaged, { controllerNames: "any", json })
        if (problems.length > 0) refused++
        const said = JSON.stringify([objects.map(({ secret: _secret, ...object }) => object), problems, blocked])
        expect(windowsOf(said).filter((window) => secret.has(window))).toEqual([])
      }
    }),
    { numRuns: 1_000 },
  )
  expect(refused).toBeGreaterThan(500)
})
