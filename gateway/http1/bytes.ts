/** Octets of HTTP/1.1 messages by class, one table look-up each. */

export const CR = 13
export const LF = 10
export const SP = 32
export const TAB = 9
export const COLON = 58

/** RFC 9110 §5.6.2 tchar: methods and field names. */
export const TOKEN = 1
/** RFC 9110 §5.5: what a field value holds, inner SP and HTAB and obs-text included; no CR, LF, NUL or other controls. */
export const VALUE = 2
/** What a request-target may hold: visible ASCII but `#`. RFC 3986 allows less; what browsers send raw passes. */
export const TARGET = 4
/** In a target: `%`, `.` and `\`, which may make a path mean another one. */
export const PATH_SUSPECT = 8
/** RFC 3986 §3.2.2 reg-name, `%` included; an IP literal is checked apart. */
export const HOST = 16
export const DIGIT = 32
export const HEX = 64
/** RFC 9110 §5.6.4: what stands unescaped in a quoted string. */
export const QUOTED = 128

const table = new Uint8Array(256)
const mark = (from: number, to: number, bit: number): void => {
  for (let c = from; c <= to; c++) table[c] = (table[c] ?? 0) | bit
}
const markAll = (characters: string, bit: number): void => {
  for (const character of characters) mark(character.charCodeAt(0), character.charCodeAt(0), bit)
}
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
const digits = "0123456789"
markAll(`!#$%&'*+-.^_\`|~${letters}${digits}`, TOKEN)
markAll(`-._~!$&'()*+,;=%${letters}${digits}`, HOST)
markAll(digits, DIGIT)
markAll(`${digits}ABCDEFabcdef`, HEX)
mark(0x20, 0x7e, VALUE)
mark(0x80, 0xff, VALUE)
mark(TAB, TAB, VALUE)
mark(0x21, 0x22, TARGET)
mark(0x24, 0x7e, TARGET)
markAll("%.\\", PATH_SUSPECT)
mark(TAB, TAB, QUOTED)
mark(0x20, 0x21, QUOTED)
mark(0x23, 0x5b, QUOTED)
mark(0x5d, 0x7e, QUOTED)
mark(0x80, 0xff, QUOTED)

/** Classes of the octet at `at`; past the end of the buffer 0, which is in none. */
export const classAt = (buffer: Uint8Array, at: number): number => table[buffer[at] ?? 0] ?? 0

/** Classes of a latin1 character code. */
export const classOf = (code: number): number => table[code & 255] ?? 0

/** Without the SP and HTAB around it (OWS, RFC 9110 §5.6.3). trim() would take 0xA0 too, which is part of a value. */
export const trimOws = (text: string): string => {
  let start = 0
  let end = text.length
  while (start < end && isOws(text.charCodeAt(start))) start++
  while (end > start && isOws(text.charCodeAt(end - 1))) end--
  return start === 0 && end === text.length ? text : text.slice(start, end)
}

const isOws = (code: number): boolean => code === SP || code === TAB
