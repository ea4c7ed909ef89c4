/** Regular expressions of entries: RE2 syntax, the whole value must match, time linear in its length. */
import { createRequire } from "node:module"
import { EntryFault } from "./fault.ts"

export interface Regex {
  readonly source: string
  /** True when the whole of `text` matches. */
  test(text: string): boolean
}

/** Thousands of routes often share a few expressions; compiled ones live as long as the process, up to this many. */
const KEPT = 1000
const compiled = new Map<string, Regex>()

type Engine = typeof import("re2js")["RE2JS"]
let engine: Engine | undefined

/** Loaded with the first expression: 4 MB that most tables never need. */
const loadEngine = (): Engine => {
  const loaded: typeof import("re2js") = createRequire(import.meta.url)("re2js")
  return loaded.RE2JS
}

/** Throws EntryFault (UnsupportedRegex) for what RE2 does not know: back-references, look-around, bad syntax. */
export const compileRegex = (source: string, field: string): Regex => {
  const known = compiled.get(source)
  if (known !== undefined) return known
  engine ??= loadEngine()
  let program: InstanceType<Engine>
  try {
    program = engine.compile(source)
  } catch (error) {
    throw new EntryFault("UnsupportedRegex", field, `"${source}" is not a regular expression RE2 accepts: ${error instanceof Error ? error.message : String(error)}`)
  }
  const regex: Regex = { source, test: (text) => program.testExact(text) }
  if (compiled.size >= KEPT) compiled.clear()
  compiled.set(source, regex)
  return regex
}
