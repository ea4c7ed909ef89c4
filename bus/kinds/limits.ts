/** A mistake in an object, and the syntaxes several kinds share. */
export interface Problem {
  /** `spec.rules[0].matches[1].path.value` */
  readonly field: string
  /** CamelCase: Required, InvalidValue, TooMany, Duplicate, Forbidden, UnknownField. */
  readonly reason: string
  /** A full sentence. */
  readonly message: string
  /** What the user can do. */
  readonly fix: string
}

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
/** RFC 1123 label. */
const DNS_LABEL = new RegExp(`^${LABEL}$`)
/** RFC 1123 subdomain. */
export const DNS_SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`)
const HOSTNAME = new RegExp(`^(\\*\\.)?${LABEL}(\\.${LABEL})*$`)
const IPV4 = /^\d+\.\d+\.\d+\.\d+$/
/** RFC 9110 §5.6.2 token: header and query parameter names. */
export const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/

/** Collects problems of one object; each method checks one rule at one field. */
export class Problems {
  readonly found: Problem[] = []

  add(field: string, reason: string, message: string, fix: string): void {
    this.found.push({ field, reason, message: `${field}: ${message}`, fix })
  }

  pattern(field: string, value: string | undefined, pattern: RegExp, longest: number, what: string, example: string): void {
    if (value === undefined || (value.length <= longest && pattern.test(value))) return
    this.add(field, "InvalidValue", `"${value.slice(0, 80)}" is not ${what} (at most ${longest} characters)`, `Write something like ${example}.`)
  }

  name(field: string, value: string | undefined): void {
    this.pattern(field, value, DNS_SUBDOMAIN, 253, "a name of lower case letters, digits, dashes and dots", "web-1")
  }

  label(field: string, value: string | undefined): void {
    this.pattern(field, value, DNS_LABEL, 63, "a name of lower case letters, digits and dashes", "web-1")
  }

  hostname(field: string, value: string | undefined, wildcard: boolean): void {
    if (value === undefined) return
    if (IPV4.test(value)) this.add(field, "InvalidValue", `"${value}" is an IP address, not a hostname`, "Write a name such as shop.example.com, or leave it out for every host.")
    else this.pattern(field, value, wildcard ? HOSTNAME : DNS_SUBDOMAIN, 253, `a lower case hostname${wildcard ? ', exact or with a first label "*"' : ""}`, wildcard ? "shop.example.com or *.example.com" : "shop.example.com")
  }

  range(field: string, value: number | undefined, min: number, max: number): void {
    if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return
    this.add(field, "InvalidValue", `${value} is not a whole number from ${min} to ${max}`, `Write a whole number from ${min} to ${max}.`)
  }

  oneOf(field: string, value: string | number | undefined, allowed: readonly (string | number)[]): void {
    if (value === undefined || allowed.includes(value)) return
    this.add(field, "InvalidValue", `${JSON.stringify(value)} is not one of ${allowed.join(", ")}`, `Write one of ${allowed.join(", ")}.`)
  }

  count(field: string, list: readonly unknown[] | undefined, min: number, max: number): void {
    if (list === undefined) return
    if (list.length > max) this.add(field, "TooMany", `${list.length} items, at most ${max} are allowed`, "Split the object in two.")
    if (list.length < min) this.add(field, "Required", `at least ${min === 1 ? "one item is" : `${min} items are`} needed`, `Add an item to ${field}.`)
  }

  length(field: string, value: string | undefined, min: number, max: number): void {
    if (value === undefined || (value.length >= min && value.length <= max)) return
    this.add(field, "InvalidValue", value.length < min ? "must not be empty" : `${value.length} characters, at most ${max} are allowed`, value.length < min ? `Give ${field} a value.` : "Shorten it.")
  }

  /** Each item's identity may occur once; `field` names the item. */
  unique<T>(field: string, list: readonly T[] | undefined, identity: (item: T) => string | undefined, what: string): void {
    const seen = new Map<string, number>()
    for (const [i, item] of (list ?? []).entries()) {
      const id = identity(item)
      if (id === undefined) continue
      const first = seen.get(id)
      if (first === undefined) seen.set(id, i)
      else this.add(`${field}[${i}]`, "Duplicate", `same ${what} as ${field}[${first}]`, `Change or remove one of the two.`)
    }
  }
}
