/**
 * What a field is, found out once over the octets it came in and kept beside it in the compression table: a field that
 * comes again by index is not looked at again. The lower bits are a number of http1/field.ts or one of the
 * pseudo-header fields, the upper ones say what is wrong with it.
 */
import { SP, TAB, COLON, TOKEN, VALUE, classAt } from "../http1/bytes.ts"
import { OTHER, fieldKind } from "../http1/field.ts"

export const KIND = 0x3f
/** RFC 9113 §8.2.1: not a token, upper case, or a `:` that makes no pseudo-header field. */
export const BAD_NAME = 0x40
/** RFC 9113 §8.2.1, and other controls (RFC 9110 §5.5). */
export const BAD_VALUE = 0x80
/** RFC 7541 §6.2.3: never to be put into a table, on any hop. */
export const SENSITIVE = 0x100

export const METHOD = 32
export const SCHEME = 33
export const AUTHORITY = 34
export const PATH = 35
export const STATUS = 36
/** RFC 8441 */
export const PROTOCOL = 37
export const OTHER_PSEUDO = 38

const pseudo: ReadonlyMap<string, number> = new Map([
  [":method", METHOD],
  [":scheme", SCHEME],
  [":authority", AUTHORITY],
  [":path", PATH],
  [":status", STATUS],
  [":protocol", PROTOCOL],
])

/** The kind of the field with this name, BAD_NAME added where it is none. */
export const nameKind = (octets: Uint8Array, start: number, end: number, name: string): number => {
  if (start === end) return OTHER | BAD_NAME
  if (octets[start] === COLON) return pseudo.get(name) ?? OTHER_PSEUDO
  for (let at = start; at < end; at++) {
    const octet = octets[at] ?? 0
    if ((classAt(octets, at) & TOKEN) === 0 || (octet >= 65 && octet <= 90)) return OTHER | BAD_NAME
  }
  return fieldKind(octets, start, end - start)
}

/** BAD_VALUE or 0. */
export const valueFault = (octets: Uint8Array, start: number, end: number): number => {
  if (start === end) return 0
  const first = octets[start]
  const last = octets[end - 1]
  if (first === SP || first === TAB || last === SP || last === TAB) return BAD_VALUE
  for (let at = start; at < end; at++) if ((classAt(octets, at) & VALUE) === 0) return BAD_VALUE
  return 0
}
