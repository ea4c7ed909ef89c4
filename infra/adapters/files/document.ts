/** One document's text to a value, and from a field in the value back to its line. */
import { type ErrorCode, LineCounter, parseDocument } from "yaml"
import { readPlain } from "./plain.ts"

export type Parse =
  | { readonly ok: true; readonly value: unknown }
  /** `line` counts from 1 inside the text. */
  | { readonly ok: false; readonly line: number; readonly message: string }

/**
 * What may be a Secret is never quoted, and of a document that cannot be read nobody knows what it is: so not in the
 * parser's words, some of which quote, but in ours.
 */
const MISTAKES: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: "an alias has an anchor or a tag",
  BAD_ALIAS: "an alias or anchor is not well formed",
  BAD_COLLECTION_TYPE: "a tag does not fit what it stands before",
  BAD_DIRECTIVE: "a directive is not known",
  BAD_DQ_ESCAPE: "a text in double quotes holds an escape that is none",
  BAD_INDENT: "the indentation does not fit",
  BAD_PROP_ORDER: "an anchor or tag stands in the wrong place",
  BAD_SCALAR_START: "a text begins with a character that needs quotes",
  BLOCK_AS_IMPLICIT_KEY: "a map or list stands where a key is expected, perhaps for a second colon on the line",
  BLOCK_IN_FLOW: "a map or list in block style stands inside brackets",
  DUPLICATE_KEY: "a map has the same key twice",
  IMPOSSIBLE: "it is not well formed",
  KEY_OVER_1024_CHARS: "a key is longer than 1024 characters",
  MISSING_CHAR: "a colon, comma, dash, quote or space is missing",
  MULTILINE_IMPLICIT_KEY: "a key goes over several lines, perhaps for a missing colon",
  MULTIPLE_ANCHORS: "a value has several anchors",
  MULTIPLE_DOCS: "another document begins without a line ---",
  MULTIPLE_TAGS: "a value has several tags",
  NON_STRING_KEY: "a key is not text",
  RESOURCE_EXHAUSTION: "it is nested too deeply",
  TAB_AS_INDENT: "tabs are not allowed as indentation",
  TAG_RESOLVE_FAILED: "a value does not fit its tag, or the tag is not known",
  UNEXPECTED_TOKEN: "there is something that is not expected here",
}

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
  if (error !== undefined) return { ok: false, line: lines.linePos(Math.min(error.pos[0], text.trimEnd().length)).line, message: MISTAKES[error.code] }
  try {
    const value: unknown = document.toJS()
    return { ok: true, value }
  } catch (cause) {
    if (isTooDeep(cause)) throw cause
    return { ok: false, line: 1, message: "an alias has no anchor before it, or aliases stand for too much" }
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
