/** Regular expressions of entries: RE2 syntax, the whole value must match, time linear in its length. */
import { RE2JS } from "re2js"
import { EntryFault } from "./fault.ts"

export interface Regex {
  readonly source: string
  /** True when the whole of `text` matches. */
  test(text: string): boolean
}

/** Thousands of routes often share a few expressions; compiled ones live as long as the process, up to this many. */
const KEPT = 1000
const compiled = new Map<string, Regex>()

/** Throws EntryFault (UnsupportedRegex) for what RE2 does not know: back-references, look-around, bad syntax. */
export const compileRegex = (source: string, field: string): Regex => {
  const known = compiled.get(source)
  if (known !== undefined) return known
  let program: RE2JS
  try {
    program = RE2JS.compile(source)
  } catch (error) {
    throw new EntryFault("UnsupportedRegex", field, `"${source}" is not a regular expression RE2 accepts: ${error instanceof Error ? error.message : String(error)}`)
  }
  const regex: Regex = { source, test: (text) => program.testExact(text) }
  if (compiled.size >= KEPT) compiled.clear()
  compiled.set(source, regex)
  return regex
}
