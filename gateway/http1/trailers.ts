/** Trailer sections (RFC 9112 §7.1.2): parsed like a head, and rid of what must not come in one (RFC 9110 §6.5.1). */
import type { Fault } from "./fault.ts"
import { OTHER } from "./field.ts"
import { Head, INCOMPLETE } from "./head.ts"

export const MAX_TRAILER_BYTES = 8192
const MAX_TRAILER_FIELDS = 64

class TrailerSection extends Head {
  parse(section: Buffer): number {
    this.fault = null
    const after = this.scanFields(section, 0, 0, section.length, MAX_TRAILER_FIELDS)
    if (after > 0) this.text = section.toString("latin1", 0, after)
    return after
  }
}

const scratch = new TrailerSection()

/**
 * Null: not complete. A fault, or the section's length with its empty line and the lines that may go on. Every field
 * this proxy acts on is left out: framing, routing and connection options must not change after the head. So is what the
 * head has named as one of its connection options, `options` in lower case.
 */
export const readTrailers = (section: Buffer, options: readonly string[] | null): { readonly length: number; readonly kept: string } | Fault | null => {
  const length = scratch.parse(section)
  if (length === INCOMPLETE) return null
  if (length < 0) return scratch.fault === "too-many-fields" ? "trailer-too-large" : "trailer"
  if (length > MAX_TRAILER_BYTES) return "trailer-too-large"
  let kept = ""
  for (let field = 0; field < scratch.count; field++) {
    if (scratch.kind(field) !== OTHER || (options !== null && options.some((option) => scratch.isNamed(field, option)))) continue
    kept += scratch.text.slice(scratch.lineStart(field), scratch.lineStart(field + 1))
  }
  return { length, kept }
}
