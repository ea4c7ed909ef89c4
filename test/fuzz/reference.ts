/**
 * llhttp, the parser of Node.js, strict as it comes (no lenient flag), in the WebAssembly build that the package undici
 * carries. See README.md for its version.
 */
import { createRequire } from "node:module"
import type { Case, Ending, Message, Transcript } from "./transcript.ts"

interface Llhttp {
  readonly memory: { readonly buffer: ArrayBuffer }
  _initialize(): void
  malloc(size: number): number
  llhttp_alloc(type: number): number
  llhttp_reset(parser: number): void
  llhttp_execute(parser: number, at: number, length: number): number
  llhttp_finish(parser: number): number
  llhttp_resume(parser: number): void
  llhttp_resume_after_upgrade(parser: number): void
  llhttp_get_error_pos(parser: number): number
  llhttp_get_error_reason(parser: number): number
  llhttp_errno_name(error: number): number
  llhttp_method_name(method: number): number
  llhttp_get_method(parser: number): number
  llhttp_get_http_major(parser: number): number
  llhttp_get_http_minor(parser: number): number
  llhttp_should_keep_alive(parser: number): number
}

// Of the global only what is used here: the types of the web are not those of this program.
declare const WebAssembly: {
  readonly Module: new (octets: Uint8Array) => object
  readonly Instance: new (module: object, imports: { readonly env: Record<string, (...args: number[]) => number> }) => { readonly exports: Llhttp }
}

const REQUEST = 1
const RESPONSE = 2
const OK = 0
const PAUSED = 21
const PAUSED_UPGRADE = 22
const SKIP_BODY = 1

const CAPACITY = 1 << 20

const octets: unknown = createRequire(import.meta.url)("undici/lib/llhttp/llhttp_simd-wasm.js")
if (!(octets instanceof Uint8Array)) throw new TypeError("undici carries no llhttp")

/** The message being parsed. */
let url = ""
let fields: [name: string, value: string][] = []
let trailers: [name: string, value: string][] = []
let messages: Message[] = []
let current: Message | null = null
let isNameOpen = false
let isFinal = true
let methods: readonly string[] = []
let isTunnel = false

const section = (): [name: string, value: string][] => (current === null ? fields : trailers)

const llhttp = new WebAssembly.Instance(new WebAssembly.Module(octets), {
  env: {
    wasm_on_message_begin: () => {
      url = ""
      fields = []
      trailers = []
      current = null
      isNameOpen = false
      return OK
    },
    wasm_on_url: (_parser = 0, at = 0, length = 0) => {
      url += slice(at, length)
      return OK
    },
    wasm_on_status: () => OK,
    wasm_on_header_field: (_parser = 0, at = 0, length = 0) => {
      const last = section().at(-1)
      if (isNameOpen && last !== undefined) last[0] += slice(at, length)
      else section().push([slice(at, length), ""])
      isNameOpen = true
      return OK
    },
    wasm_on_header_value: (_parser = 0, at = 0, length = 0) => {
      const last = section().at(-1)
      if (last !== undefined) last[1] += slice(at, length)
      isNameOpen = false
      return OK
    },
    wasm_on_headers_complete: (parser = 0, status = 0) => {
      const version = `${llhttp.llhttp_get_http_major(parser)}.${llhttp.llhttp_get_http_minor(parser)}`
      const method = text(llhttp.llhttp_method_name(llhttp.llhttp_get_method(parser)))
      const isRequest = methods.length === 0
      current = { start: isRequest ? `${method} ${url} ${version}` : `${status} ${version}`, fields: trimmed(fields), trailers: [], body: "", end: -1, isPersistent: llhttp.llhttp_should_keep_alive(parser) === 1 }
      messages.push(current)
      isNameOpen = false
      isTunnel = isRequest ? method === "CONNECT" : status === 101
      isFinal = status === 0 || status >= 200
      if (isTunnel) return PAUSED
      return !isRequest && methods[0] === "HEAD" ? SKIP_BODY : OK
    },
    wasm_on_body: (_parser = 0, at = 0, length = 0) => {
      if (current !== null) current.body += slice(at, length)
      return OK
    },
    wasm_on_message_complete: (parser = 0) => {
      if (current === null) return OK
      current.trailers = trimmed(trailers)
      current.isPersistent = llhttp.llhttp_should_keep_alive(parser) === 1
      // Known when the pause is over: see take().
      current.end = 0
      return PAUSED
    },
  },
}).exports
llhttp._initialize()
const parsers = { request: llhttp.llhttp_alloc(REQUEST), response: llhttp.llhttp_alloc(RESPONSE) }
const input = llhttp.malloc(CAPACITY)
const memory = Buffer.from(llhttp.memory.buffer)

const slice = (at: number, length: number): string => memory.toString("latin1", at, at + length)
const text = (at: number): string => memory.toString("latin1", at, memory.indexOf(0, at))
const trimmed = (section: readonly (readonly [string, string])[]): (readonly [string, string])[] => section.map(([name, value]) => [name, value.replace(/^[ \t]+|[ \t]+$/g, "")])

export const transcriptOf = (given: Case): Transcript => {
  const parser = parsers[given.kind]
  const { length } = given.text
  if (length > CAPACITY) throw new RangeError(`a case of ${length} octets`)
  memory.write(given.text, input, length, "latin1")
  llhttp.llhttp_reset(parser)
  messages = []
  current = null
  isTunnel = false
  methods = given.kind === "request" ? [] : given.methods
  return { messages, ending: endingOf(parser, length) }
}

const endingOf = (parser: number, length: number): Ending => {
  let at = 0
  while (at < length) {
    const error = llhttp.llhttp_execute(parser, input + at, length - at)
    if (error === OK) break
    at = llhttp.llhttp_get_error_pos(parser) - input
    if (error === PAUSED_UPGRADE) llhttp.llhttp_resume_after_upgrade(parser)
    else if (error === PAUSED) {
      const ending = afterPause(at)
      if (ending !== null) return ending
      llhttp.llhttp_resume(parser)
    } else {
      return refusal(text(llhttp.llhttp_errno_name(error)), text(llhttp.llhttp_get_error_reason(parser)))
    }
  }
  return current === null ? { kind: "open", isInBody: false } : atEnd(parser, length)
}

const refusal = (name: string, words: string): Ending => {
  // Said before the first octet of the body, but after the callback for the head.
  const isAboutHead = words.startsWith("Request has invalid")
  if (isAboutHead) messages.pop()
  return { kind: "refused", isInBody: current !== null && !isAboutHead, reason: `${name} ${words}` }
}

/** A message is complete, or a tunnel begins. */
const afterPause = (at: number): Ending | null => {
  if (current === null) return null
  current.end = at
  if (isTunnel) return { kind: "tunnel" }
  if (!current.isPersistent) return { kind: "closed" }
  current = null
  if (isFinal && methods.length > 1) methods = methods.slice(1)
  return null
}

/** The connection ends within a body: where that is its end, llhttp says so now. */
const atEnd = (parser: number, length: number): Ending => {
  llhttp.llhttp_finish(parser)
  if (current === null || current.end < 0) return { kind: "open", isInBody: true }
  current.end = length
  return { kind: "closed" }
}

/** Methods that llhttp takes in an HTTP request: it knows a list, and refuses others. */
export const isKnownMethod = (method: string): boolean => known.has(method)
const known = new Set(
  Array.from({ length: 47 }, (_, method) => text(llhttp.llhttp_method_name(method))).filter((name) => transcriptOf({ kind: "request", text: `${name} /a HTTP/1.1\r\n\r\n`, methods: [] }).messages.length === 1),
)
