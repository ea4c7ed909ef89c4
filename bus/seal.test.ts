import { inspect } from "node:util"
import fc from "fast-check"
import { expect, test } from "vitest"
import { Redacted } from "./redacted.ts"
import { open, planeKey, seal } from "./seal.ts"

const key = planeKey(new Redacted(Buffer.alloc(32, 1)))
const other = planeKey(new Redacted(Buffer.alloc(32, 2)))

test("what is sealed opens for the same key and place, and is the same each time", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 4_000 }), fc.string(), (octets, place) => {
    const sealed = seal(key, place, new Redacted(octets))
    expect(seal(key, place, new Redacted(octets))).toBe(sealed)
    expect([...open(key, place, sealed).reveal()]).toEqual([...octets])
  }), { numRuns: 200 })
})

test("another key, another place and a changed octet open nothing, and the message quotes nothing", () => {
  const sealed = seal(key, "default/shop/tls", new Redacted(Buffer.from("the private key")))
  expect(() => open(other, "default/shop/tls", sealed)).toThrow(`it is sealed with the key ${key.id}, not with this gateway's ${other.id}`)
  expect(() => open(key, "default/shop/other", sealed)).toThrow("sealed for another place")
  const [version = "", id = "", nonce = "", body = ""] = sealed.split(".")
  const changed = Buffer.from(body, "base64url")
  changed[0] = (changed[0] ?? 0) ^ 1
  expect(() => open(key, "default/shop/tls", `${version}.${id}.${nonce}.${changed.toString("base64url")}`)).toThrow("it is damaged")
  expect(() => open(key, "default/shop/tls", `v2.${id}.${nonce}.${body}`)).toThrow("not sealed in a way this program knows")
  expect(() => open(key, "default/shop/tls", "v1")).toThrow("not sealed in a way this program knows")
})

test("different secrets never share a nonce, nor does one secret in two places", () => {
  const nonceOf = (sealed: string) => sealed.split(".")[2]
  expect(nonceOf(seal(key, "a", new Redacted(Buffer.from("x"))))).not.toBe(nonceOf(seal(key, "a", new Redacted(Buffer.from("y")))))
  expect(nonceOf(seal(key, "a", new Redacted(Buffer.from("x"))))).not.toBe(nonceOf(seal(key, "b", new Redacted(Buffer.from("x")))))
})

test("a redacted value shows in no text", () => {
  const secret = new Redacted("hunter2")
  for (const text of [`${String(secret)}`, JSON.stringify({ secret }), inspect({ secret }, { depth: 5, showHidden: true }), inspect(secret)]) {
    expect(text).not.toContain("hunter2")
    expect(text).toContain("<redacted>")
  }
  expect(secret.reveal()).toBe("hunter2")
})

test("a key of another length is refused", () => {
  expect(() => planeKey(new Redacted(Buffer.alloc(16)))).toThrow("a data plane's key has 32 octets, not 16")
})
