/**
 * W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/): which trace something belongs to, and the span
 * it follows from. As a header of HTTP requests and of messages on the bus alike.
 */

export interface TraceContext {
  /** 32 hexadecimal digits, lower case, not all zero. */
  readonly traceId: string
  /** 16 of them. */
  readonly spanId: string
  readonly isSampled: boolean
}

const LENGTH = 55
const DASH = 45
const ZERO = 48

/** What flagsOf answers for what is no traceparent. */
export const MALFORMED = -1

const hexValue = (c: number): number => (c >= 48 && c <= 57 ? c - 48 : c >= 97 && c <= 102 ? c - 87 : -1)

/** `from` to `to` are lower-case hexadecimal digits; `nonZero`: not all of them zero. */
const isHex = (text: string, from: number, to: number, nonZero: boolean): boolean => {
  let anything = false
  for (let at = from; at < to; at++) {
    const c = text.charCodeAt(at)
    if (hexValue(c) < 0) return false
    if (c !== ZERO) anything = true
  }
  return anything || !nonZero
}

/**
 * The flags of the traceparent that stands in `text` from `from` to `to`, or MALFORMED (§3.2.2, §4.3): 0xff is no
 * version; of a version above 00 what is known is read, and what follows it after a dash is passed over. Allocates
 * nothing.
 */
export const flagsOf = (text: string, from: number, to: number): number => {
  const length = to - from
  if (length < LENGTH || !isHex(text, from, from + 2, false) || text.charCodeAt(from + 2) !== DASH) return MALFORMED
  const version = hexValue(text.charCodeAt(from)) * 16 + hexValue(text.charCodeAt(from + 1))
  if (version === 0xff || (version === 0 ? length !== LENGTH : length > LENGTH && text.charCodeAt(from + LENGTH) !== DASH)) return MALFORMED
  if (!isHex(text, from + 3, from + 35, true) || text.charCodeAt(from + 35) !== DASH) return MALFORMED
  if (!isHex(text, from + 36, from + 52, true) || text.charCodeAt(from + 52) !== DASH || !isHex(text, from + 53, from + 55, false)) return MALFORMED
  return hexValue(text.charCodeAt(from + 53)) * 16 + hexValue(text.charCodeAt(from + 54))
}

export const SAMPLED = 1

/** What we write ourselves: matched at once, where code that runs ten times a second is never compiled. */
const OWN = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]$/

/** Undefined for what is no traceparent: whoever gets it begins a trace of its own. */
export const parseTraceparent = (value: string): TraceContext | undefined => {
  if (OWN.test(value)) return { traceId: value.slice(3, 35), spanId: value.slice(36, 52), isSampled: value.endsWith("1") }
  const flags = flagsOf(value, 0, value.length)
  return flags === MALFORMED ? undefined : { traceId: value.slice(3, 35), spanId: value.slice(36, 52), isSampled: (flags & SAMPLED) !== 0 }
}

/** Version 00, of the flags only whether it is sampled (§4.3: others must not be handed on). */
export const formatTraceparent = (traceId: string, spanId: string, isSampled = true): string => `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`
