/** Why an entry cannot be served. It parks that entry with a note; the table goes on without it. */
export class EntryFault extends Error {
  override readonly name = "EntryFault"
  /** CamelCase, stable: `UnsupportedRegex`. */
  readonly reason: string
  /** JSON path in the entry: `rules[0].matches[1].path.value`. */
  readonly field: string

  constructor(reason: string, field: string, message: string) {
    super(message)
    this.reason = reason
    this.field = field
  }
}

/** The same fault as seen from one level further out. */
export const within = (prefix: string, error: unknown): unknown =>
  error instanceof EntryFault ? new EntryFault(error.reason, error.field === "" ? prefix : error.field.startsWith("[") ? prefix + error.field : `${prefix}.${error.field}`, error.message) : error
