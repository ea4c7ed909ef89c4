/** Looking for secret octets in whatever a program leaves behind, however they may have been written. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** What may stand for these octets inside a longer text: as they are, in hexadecimal, and in base64 wherever they begin in it. */
const formsOf = (octets: Buffer): readonly string[] => {
  const whole = [0, 1, 2].map((start) => octets.subarray(start, start + 3 * Math.floor((octets.length - start) / 3)).toString("base64"))
  return [octets.toString("latin1"), octets.toString("hex"), octets.toString("hex").toUpperCase(), ...whole, ...whole.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"))]
}

export interface Needle {
  readonly what: string
  readonly text: Buffer
}

/** `parts`: octets that are found nowhere by chance; `pems`: texts of which each line is looked for, and its base64. */
export const needlesOf = (parts: Readonly<Record<string, Buffer>>, pems: Readonly<Record<string, string>>): readonly Needle[] => [
  ...Object.entries(parts).flatMap(([what, octets]) => formsOf(octets).map((text) => ({ what, text: Buffer.from(text, "latin1") }))),
  ...Object.entries(pems).flatMap(([what, pem]) =>
    pem.split("\n").filter((line) => line.length > 30 && !line.startsWith("-")).flatMap((line, i) => formsOf(Buffer.from(line)).map((text) => ({ what: `${what}, line ${i + 2}`, text: Buffer.from(text, "latin1") })))),
]

/** What of it is in the text. */
export const foundIn = (needles: readonly Needle[], text: Buffer | string): readonly string[] => {
  const octets = typeof text === "string" ? Buffer.from(text) : text
  return [...new Set(needles.filter((needle) => octets.includes(needle.text)).map(({ what }) => what))]
}

/** Every file below, with its content. */
export const filesBelow = (folder: string): readonly (readonly [path: string, content: Buffer])[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile()).map((entry) => {
    const path = join(entry.parentPath, entry.name)
    return [path, readFileSync(path)] as const
  })
