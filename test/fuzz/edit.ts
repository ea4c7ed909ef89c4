/** Edits of the octets of a message: of the first in a text, one place at a time. Null: there is nothing to edit. */

/** The start line with the first match of `pattern` replaced; `replacement` gets its groups. */
export const startLine = (text: string, pattern: RegExp, replacement: string | ((...groups: string[]) => string | null)): string | null => {
  const at = /^[\r\n]*/.exec(text)?.[0].length ?? 0
  const end = text.indexOf("\n", at) < 0 ? text.length : text.indexOf("\n", at) + 1
  const found = pattern.exec(text.slice(at, end))
  if (found === null) return null
  const [whole, ...groups] = found
  const replaced = typeof replacement === "string" ? replacement : replacement(...groups)
  return replaced === null ? null : text.slice(0, at + found.index) + replaced + text.slice(at + found.index + whole.length)
}

/** The first field line of that name for which `change` gives another value; null: remove the line. */
export const field = (text: string, name: string, change: (value: string, nth: number) => string | null): string | null => {
  const at = /^[\r\n]*/.exec(text)?.[0].length ?? 0
  const headEnd = text.indexOf("\r\n\r\n", at)
  const head = text.slice(at, headEnd < 0 ? text.length : headEnd + 2)
  let nth = 0
  for (const found of head.matchAll(/(?<=\r\n)([^:\r\n]+):([^\r\n]*)\r\n/g)) {
    const [line, own = "", value = ""] = found
    if (own.toLowerCase() !== name) continue
    const changed = change(value, nth++)
    if (changed === value) continue
    const from = at + found.index
    return `${text.slice(0, from)}${changed === null ? "" : `${own}:${changed}\r\n`}${text.slice(from + line.length)}`
  }
  return null
}

interface Chunked {
  /** Positions of the lines with a chunk's size, as far as the body is sound. */
  readonly sizes: readonly number[]
  /** Where the trailer section starts; -1: it is not reached. */
  readonly trailers: number
}

const chunked = (text: string): Chunked => {
  const sizes: number[] = []
  if (valuesOf(text, "transfer-encoding").length === 0) return { sizes, trailers: -1 }
  const head = text.indexOf("\r\n\r\n", /^[\r\n]*/.exec(text)?.[0].length ?? 0)
  for (let at = head + 4; ; ) {
    const size = head < 0 ? null : /^([0-9a-f]+)[^\n]*\n/i.exec(text.slice(at, at + 1000))
    if (size === null) return { sizes, trailers: -1 }
    sizes.push(at)
    at += size[0].length
    if (/^0+$/.test(size[1] ?? "")) return { sizes, trailers: at }
    at += Number.parseInt(size[1] ?? "", 16) + 2
  }
}

/** The first chunk's size, with its extensions, for which `change` gives another. */
export const size = (text: string, change: (line: string) => string): string | null => {
  for (const at of chunked(text).sizes) {
    const line = text.slice(at, text.indexOf("\n", at) + 1)
    const changed = change(line)
    if (changed !== line) return `${text.slice(0, at)}${changed}${text.slice(at + line.length)}`
  }
  return null
}

/** Another name for the first field of that name in the trailer section. */
export const trailer = (text: string, name: string): string | null => {
  const { trailers: at } = chunked(text)
  if (at < 0) return null
  const end = text.indexOf("\r\n\r\n", at - 2)
  const found = new RegExp(`(?<=^|\\r\\n)${name}:`, "i").exec(text.slice(at, end < 0 ? text.length : end + 2))
  return found === null ? null : `${text.slice(0, at + found.index)}x${text.slice(at + found.index + 1)}`
}

/** Without OWS. */
export const trimmed = (value: string): string => value.replace(/^[ \t]+|[ \t]+$/g, "")

/** HTTP/1.0 */
export const isOld = (text: string): boolean => /^[\r\n]*(?:HTTP\/1\.0 |[^\r\n]* HTTP\/1\.0\r)/.test(text)

/** Values of the fields of that name in the head. */
export const valuesOf = (text: string, name: string): readonly string[] => {
  const values: string[] = []
  field(text, name, (value) => {
    values.push(trimmed(value))
    return value
  })
  return values
}
