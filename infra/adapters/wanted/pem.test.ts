import fc from "fast-check"
import { expect, test } from "vitest"
import { pemBlocks } from "./pem.ts"

const block = (label: string, octets: Uint8Array, width = 64): string => `-----BEGIN ${label}-----\n${Buffer.from(octets).toString("base64").replaceAll(new RegExp(`.{1,${width}}`, "g"), "$&\n")}-----END ${label}-----\n`
/** Text that is no PEM, as people and tools leave it around blocks (RFC 7468 §2). */
const around = fc.string().filter((text) => !text.includes("-----"))

test("blocks are read whatever text stands around them and however they are broken into lines", () => {
  const blocks = fc.array(fc.record({ label: fc.constantFrom("CERTIFICATE", "PRIVATE KEY"), octets: fc.uint8Array({ minLength: 1, maxLength: 200 }), width: fc.constantFrom(16, 64, 10_000), end: fc.constantFrom("\n", "\r\n"), text: around }))
  fc.assert(fc.property(blocks, around, (given, last) => {
    const read = pemBlocks(given.map(({ label, octets, width, end, text }) => `${text}\n${block(label, octets, width).replaceAll("\n", end)}`).join("") + last)
    if (!read.ok) throw new Error(read.fault)
    expect(read.blocks.map(({ label, der }) => [label, [...der.reveal()]])).toEqual(given.map(({ label, octets }) => [label, [...octets]]))
  }))
})

const good = block("CERTIFICATE", Buffer.alloc(100, 7))
const [begin = "", first = "", ...rest] = good.split("\n")

test.each([
  ["rubbish in a block", [begin, first, "%%% not base64 %%%", ...rest].join("\n"), "block 1 holds what is not base64"],
  ["16 KiB of rubbish in the second", good + [begin, "\u0000\u0001~".repeat(5_500), first, ...rest].join("\n"), "block 2 holds what is not base64"],
  ["a block that is not closed", `${begin}\n${first}\n`, "block 1 is not closed"],
  ["a block in a block", [begin, first, ...good.split("\n")].join("\n"), "block 1 is not closed before the next one begins"],
  ["another END", good.replace("END CERTIFICATE", "END PRIVATE KEY"), "block 1 ends as another kind than it begins"],
  ["an END alone", `text\n${rest.join("\n")}-----END X-----`, "block 1 has an END line and no BEGIN line"],
  ["a BEGIN that is damaged", good.replace("CERTIFICATE-----", "CERTIFICATE----"), "block 1 has a BEGIN line that is damaged"],
  ["an empty block", `${begin}\n-----END CERTIFICATE-----`, "block 1 is empty"],
  ["base64 that was cut", [begin, first.slice(0, -1), ...rest].join("\n"), "block 1 is not well-formed base64"],
])("%s is a fault", (_what, text, fault) => {
  expect(pemBlocks(text)).toEqual({ ok: false, fault })
})

test("a key in OpenSSL's old encrypted format is told from rubbish", () => {
  const read = pemBlocks(`-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0011\n\n${rest.at(-3) ?? first}\n-----END RSA PRIVATE KEY-----\n`)
  expect(read.ok && read.blocks.map(({ label, isEncrypted }) => [label, isEncrypted])).toEqual([["RSA PRIVATE KEY", true]])
})
