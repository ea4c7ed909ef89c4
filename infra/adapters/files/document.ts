/** One document's text to a value, and from a field in the value back to its line. */
import { LineCounter, parseDocument } from "yaml"
import { readPlain } from "./plain.ts"

export type Parse =
  | { readonly ok: true; readonly value: unknown }
  /** `line` counts from 1 inside the text. */
  | { readonly ok: false; readonly line: number; readonly message: string }

/** YAML 1.2, of which JSON is a part. Merge keys are allowed as Kubernetes allows them; aliases expand at most 100 times. */
const options = { merge: true, prettyErrors: false, logLevel: "silent" } as const

/** The stack ends where nesting goes on: no parser here, nor what walks its values, counts how deep it is. */
export const isTooDeep = (error: unknown): boolean => error instanceof RangeError && error.message.includes("call stack")

/** Throws RangeError for what is nested deeper than the stack (isTooDeep). */
export const parseText = (text: string): Parse => {
  const plain = readPlain(text)
  if (plain !== undefined) return { ok: true, value: plain.value }
  const lines = new LineCounter()
  const document = parseDocument(text, { ...options, lineCounter: lines })
  const error = document.errors[0]
  // The parser takes the end of the stack for a mistake in the text.
  if (error !== undefined && error.message.includes("call stack")) throw new RangeError(error.message)
  // What is not closed is reported behind the end.
  if (error !== undefined) return { ok: false, line: lines.linePos(Math.min(error.pos[0], text.trimEnd().length)).line, message: error.message }
  try {
    const value: unknown = document.toJS()
    return { ok: true, value }
  } catch (cause) {
    if (isTooDeep(cause)) throw cause
    return { ok: false, line: 1, message: cause instanceof Error ? cause.message : String(cause) }
  }
}

/** JSON, with the line of the mistake when it is none. */
export const parseJson = (text: string): Parse => {
  try {
    const value: unknown = JSON.parse(text)
    return { ok: true, value }
  } catch {
    return parseText(text)
  }
}

export type FieldPath = readonly (string | number)[]

/**
 * Line inside the text, from 1, of the field at `path`, or of its nearest ancestor that is written there. Parses
 * again: only problems ask for it.
 */
export const lineOfField = (text: string, path: FieldPath): number => {
  const lines = new LineCounter()
  const document = parseDocument(text, { ...options, lineCounter: lines })
  for (let depth = path.length; depth >= 0; depth--) {
    const node: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true)
    const range = typeof node === "object" && node !== null && "range" in node ? node.range : undefined
    if (Array.isArray(range) && typeof range[0] === "number") return lines.linePos(range[0]).line
  }
  return 1
}

/**
 * The path a field name of a note (`spec.rules[0].backendRefs[1]`) has in `value`: keys that hold dots themselves
 * (labels) are recognised by what is there. Ends where `value` ends.
 */
export const pathOfField = (value: unknown, field: string): FieldPath => {
  const path: (string | number)[] = []
  let at = value
  let rest = field
  while (rest !== "") {
    const index = /^\[(\d+)\]\.?/.exec(rest)
    if (index !== null) {
      path.push(Number(index[1]))
      at = Array.isArray(at) ? at[Number(index[1])] : undefined
      rest = rest.slice(index[0].length)
      continue
    }
    const here: unknown = at
    const keys = typeof here === "object" && here !== null ? Object.keys(here) : []
    const key = keys.filter((each) => rest === each || (rest.startsWith(each) && /[.[]/.test(rest[each.length] ?? ""))).sort((a, b) => b.length - a.length)[0]
    if (key === undefined) return path
    path.push(key)
    at = new Map<string, unknown>(Object.entries(typeof here === "object" && here !== null ? here : {})).get(key)
    rest = rest.slice(key.length).replace(/^\./, "")
  }
  return path
}
