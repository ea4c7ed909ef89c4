/**
 * A reader for the plain part of YAML that manifests are written in: block maps and lists of one-line scalars. It
 * exists for the budget "20,000 routes from files and an empty store": a general parser takes 170–280 µs for a route,
 * this takes about 10. It reads or it declines; plain.test.ts holds that what it reads is what the parser would say.
 */

/** Thrown and caught inside. One object for all, because a stack trace would cost more than the parse. */
const NOT_PLAIN = new Error("the text is not plain")

const KEY = /^([A-Za-z_][A-Za-z0-9_./-]*|"[^"\\]*"|'[^']*')[ ]*:(?=[ ]|$)/
const NO_STRING_KEY = /^(?:__proto__|true|false|null|nan|inf)$/i
const INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/
const DOTTED = /^[0-9]+\.[0-9]+\.[0-9./]+$/
const MAYBE_NUMBER = /^[-+.]?[0-9.][0-9A-Fa-fxXoO.+_-]*$/
const STRINGS = /^\[ *(?:(?:"[^"\\,]*"|[A-Za-z][A-Za-z0-9./-]*)(?: *, *(?:"[^"\\,]*"|[A-Za-z][A-Za-z0-9./-]*))*) *\]$/
const WORDS: Readonly<Record<string, boolean | null>> = {
  "~": null, null: null, Null: null, NULL: null, true: true, True: true, TRUE: true, false: false, False: false, FALSE: false,
}

/** The document's value, or undefined when it needs the real parser (also for everything that is an error). */
export const readPlain = (text: string): { readonly value: unknown } | undefined => {
  if (/[\t\r\0\uFEFF]/.test(text)) return undefined
  try {
    return { value: new PlainReader(text).document() }
  } catch (thrown) {
    if (thrown === NOT_PLAIN) return undefined
    throw thrown
  }
}

class PlainReader {
  /** Content lines only; `- key:` is rewritten to the key at its column when reached. */
  readonly #lines: string[] = []
  readonly #indents: number[] = []
  #at = 0

  constructor(text: string) {
    for (const line of text.split("\n")) {
      let indent = 0
      while (line.charCodeAt(indent) === 32) indent++
      if (indent === line.length || line[indent] === "#") continue
      this.#lines.push(line.slice(indent).trimEnd())
      this.#indents.push(indent)
    }
  }

  document(): unknown {
    if (this.#lines.length === 0 || this.#indents[0] !== 0) throw NOT_PLAIN
    const value = this.#block(0)
    if (this.#at < this.#lines.length) throw NOT_PLAIN
    return value
  }

  #indent(): number {
    return this.#indents[this.#at] ?? -1
  }

  #isItem(): boolean {
    const line = this.#lines[this.#at] ?? ""
    return line === "-" || line.startsWith("- ")
  }

  #block(indent: number): unknown {
    return this.#isItem() ? this.#list(indent) : this.#map(indent)
  }

  #map(indent: number): Record<string, unknown> {
    const map: Record<string, unknown> = {}
    while (this.#indent() === indent && !this.#isItem()) {
      const line = this.#lines[this.#at] ?? ""
      const match = KEY.exec(line)
      if (match === null || match[1] === undefined) throw NOT_PLAIN
      const quoted = match[1][0] === '"' || match[1][0] === "'"
      const key = quoted ? match[1].slice(1, -1) : match[1]
      if (NO_STRING_KEY.test(key) || Object.hasOwn(map, key)) throw NOT_PLAIN
      const rest = line.slice(match[0].length).trimStart()
      this.#at++
      map[key] = rest === "" || rest[0] === "#" ? this.#below(indent, true) : this.#scalar(rest, indent)
    }
    if (this.#indent() > indent) throw NOT_PLAIN
    return map
  }

  #list(indent: number): unknown[] {
    const list: unknown[] = []
    while (this.#indent() === indent && this.#isItem()) {
      const line = this.#lines[this.#at] ?? ""
      const rest = line.slice(1).trimStart()
      if (rest === "" || rest[0] === "#") {
        this.#at++
        list.push(this.#below(indent, false))
      } else if (KEY.test(rest)) {
        const column = indent + line.length - rest.length
        this.#lines[this.#at] = rest
        this.#indents[this.#at] = column
        list.push(this.#map(column))
      } else {
        this.#at++
        list.push(this.#scalar(rest, indent))
      }
    }
    if (this.#indent() > indent) throw NOT_PLAIN
    return list
  }

  /** What stands under an empty value: a deeper block, for a key also a list at its own column, or nothing. */
  #below(indent: number, underKey: boolean): unknown {
    const next = this.#indent()
    if (next > indent) {
      const value = this.#block(next)
      if (this.#indent() > indent) throw NOT_PLAIN
      return value
    }
    return underKey && next === indent && this.#isItem() ? this.#list(indent) : null
  }

  #scalar(rest: string, indent: number): unknown {
    // A deeper line would continue the scalar.
    if (this.#indent() > indent) throw NOT_PLAIN
    if (rest[0] === '"' || rest[0] === "'") return quotedScalar(rest)
    const comment = rest.indexOf(" #")
    return plainScalar(comment === -1 ? rest : rest.slice(0, comment).trimEnd())
  }
}

const quotedScalar = (rest: string): string => {
  const match = /^(?:"((?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"|'((?:[^']|'')*)')(?: +#.*)?$/.exec(rest)
  if (match === null) throw NOT_PLAIN
  if (match[2] !== undefined) return match[2].replaceAll("''", "'")
  const body = match[1] ?? ""
  if (!body.includes("\\")) return body
  // Which JSON has no place for.
  if (/[\u0000-\u001f]/.test(body)) throw NOT_PLAIN
  const value: unknown = JSON.parse(`"${body}"`)
  if (typeof value !== "string") throw NOT_PLAIN
  return value
}

const plainScalar = (text: string): unknown => {
  const word = WORDS[text]
  if (word !== undefined && Object.hasOwn(WORDS, text)) return word
  if (INTEGER.test(text)) return Number(text)
  if (text === "[]") return []
  if (text === "{}") return {}
  if (STRINGS.test(text)) return strings(text)
  // Indicators, `key: value` on one line, and what only the parser knows to be a number or not.
  if (/^[,[\]{}#&*!|>'"%@`]|^[-?:](?: |$)|: |:$|^\.(?:nan|inf)$|^[-+]\.inf$/i.test(text)) throw NOT_PLAIN
  if (MAYBE_NUMBER.test(text) && !DOTTED.test(text)) throw NOT_PLAIN
  return text
}

const strings = (text: string): string[] =>
  text.slice(1, -1).split(",").map((item) => {
    const word = item.trim()
    if (word[0] === '"') return word.slice(1, -1)
    if (word in WORDS) throw NOT_PLAIN
    return word
  })
