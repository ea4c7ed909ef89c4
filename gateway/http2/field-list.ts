/**
 * A field section (RFC 9110 §6.3): names, values and kinds side by side, used again for the next one. Strings are
 * latin1, one character an octet.
 */

/** RFC 7541 §4.1, RFC 9113 §6.5.2: what a field counts beside its octets. */
export const FIELD_OVERHEAD = 32

export interface FieldLimits {
  /** Octets of names and values, and 32 a field: SETTINGS_MAX_HEADER_LIST_SIZE. */
  readonly listOctets: number
  readonly fields: number
}

const UNLIMITED: FieldLimits = { listOctets: Infinity, fields: Infinity }

export class FieldList {
  readonly names: string[] = []
  readonly values: string[] = []
  /** See field-kind.ts; of fields on their way out only SENSITIVE counts. */
  readonly kinds: number[] = []
  count = 0
  /** With what was left out. */
  octets = 0
  /** More came than the limits allow: what is beyond them was left out. */
  isOverLimit = false
  readonly #limits: FieldLimits

  constructor(limits: FieldLimits = UNLIMITED) {
    this.#limits = limits
  }

  clear(): this {
    this.count = this.octets = 0
    this.isOverLimit = false
    return this
  }

  add(name: string, value: string, kind = 0): this {
    this.octets += name.length + value.length + FIELD_OVERHEAD
    if (this.octets > this.#limits.listOctets || this.count >= this.#limits.fields) {
      this.isOverLimit = true
      return this
    }
    this.names[this.count] = name
    this.values[this.count] = value
    this.kinds[this.count++] = kind
    return this
  }

  name(field: number): string {
    return this.names[field] ?? ""
  }

  value(field: number): string {
    return this.values[field] ?? ""
  }

  kind(field: number): number {
    return this.kinds[field] ?? 0
  }

  /** Combined value ("a, b" if repeated, RFC 9110 §5.2) or undefined. */
  get(name: string): string | undefined {
    let value: string | undefined
    for (let field = 0; field < this.count; field++) {
      if (this.names[field] === name) value = value === undefined ? this.value(field) : `${value}, ${this.value(field)}`
    }
    return value
  }

  *[Symbol.iterator](): Generator<readonly [string, string]> {
    for (let field = 0; field < this.count; field++) yield [this.name(field), this.value(field)]
  }
}
