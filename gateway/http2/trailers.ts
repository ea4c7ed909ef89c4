/** Trailer sections between HTTP/1.1's field lines and HTTP/2's fields; what frames, routes or authenticates ends here (RFC 9110 §6.5.1). */
import { OTHER } from "../http1/field.ts"
import { trimOws } from "../http1/bytes.ts"
import { KIND } from "./field-kind.ts"
import type { FieldList } from "./field-list.ts"

/** Adds to `to` what may go on of a section that came. */
export const passTrailers = (to: FieldList, from: FieldList): FieldList => {
  for (let field = 0; field < from.count; field++) if ((from.kind(field) & KIND) === OTHER) to.add(from.name(field), from.value(field), from.kind(field))
  return to
}

/** … as lines, each with CRLF. */
export const trailerLines = (from: FieldList): string => {
  let lines = ""
  for (let field = 0; field < from.count; field++) if ((from.kind(field) & KIND) === OTHER) lines += `${from.name(field)}: ${from.value(field)}\r\n`
  return lines
}

/** Adds the fields of such lines. */
export const addTrailers = (to: FieldList, lines: string): FieldList => {
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf("\r\n", at)
    const colon = lines.indexOf(":", at)
    to.add(lines.slice(at, colon).toLowerCase(), trimOws(lines.slice(colon + 1, end)))
    at = end + 2
  }
  return to
}
