/**
 * A Secret as a user wrote it or an API server sent it, parted in two: what may be published (metadata, type, names),
 * and the content, which is redacted by type. What is wrong with either is told without quoting anything of it.
 */
import { Redacted } from "../redacted.ts"
import { isJson } from "./json.ts"
import { Problems, type Problem } from "./limits.ts"

export interface SecretValue {
  /** `data.tls.crt` or `stringData.tls.crt`: where it is written. */
  readonly field: string
  readonly octets: Redacted<Buffer>
}

/** Name of the value → the value; stringData stands over data, as in an API server. */
export type SecretContent = ReadonlyMap<string, SecretValue>

/** Where a kind keeps what a user may not write: they would be published as they are. */
const OURS = ["keys", "tls", "problem"]

/**
 * Nothing of it is published that nobody here reads and that may hold content in a wrong place: no labels, no
 * annotations (in which `kubectl apply` and others keep the whole object), no type that does not look like one, nor
 * times and uids that an API server did not write.
 */
export const trimSecret = ({ data, stringData, immutable: _immutable, type, ...object }: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const { annotations: _annotations, labels: _labels, ...given } = isJson(object["metadata"]) ? object["metadata"] : {}
  const metadata = Object.fromEntries(Object.entries(given).filter(([field, value]) => WRITTEN.get(field)?.test(String(value)) !== false))
  const names = [data, stringData].flatMap((values) => (isJson(values) ? Object.keys(values).filter((name) => NAME.test(name) && name.length <= LONGEST_NAME) : []))
  const rest = Object.fromEntries(Object.entries(object).filter(([name]) => !OURS.includes(name)))
  const isTyped = type !== undefined && (typeof type !== "string" || TYPE.test(type))
  return { ...rest, ...(isTyped ? { type } : {}), ...(isJson(object["metadata"]) ? { metadata } : {}), keys: [...new Set(names)].sort() }
}

/** As an API server writes it. */
const WRITTEN: ReadonlyMap<string, RegExp> = new Map([
  ["uid", /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/],
  ["creationTimestamp", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/],
])
/** `kubernetes.io/service-account-token`, the longest of Kubernetes itself, has 35. */
const TYPE = /^[-._/a-zA-Z0-9]{1,40}$/

/** Shorter than a line of base64, longer than names are: a longer one may itself be content in a wrong place, and is not said. */
const LONGEST_NAME = 40
const fieldOf = (list: string, name: string): string => (name.length <= LONGEST_NAME ? `${list}.${name}` : list)

/** Kubernetes' rule for names in data. */
const NAME = /^[-._a-zA-Z0-9]{1,253}$/
/** RFC 4648 §4; line ends are passed over, as by the API server. */
const isBase64 = (text: string): boolean => {
  const line = text.replaceAll(/[\r\n]/g, "")
  return line.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(line)
}

/** `object`: untrimmed, without nulls. */
export const contentOf = (object: Readonly<Record<string, unknown>>): { readonly content: SecretContent; readonly problems: readonly Problem[] } => {
  const problems = new Problems()
  const content = new Map<string, SecretValue>()
  for (const [list, what] of [["data", "base64"], ["stringData", "text"]] as const) {
    const values = object[list]
    if (values === undefined) continue
    if (!isJson(values)) {
      problems.add(list, "InvalidValue", `it is not a map of names to ${what}`, `Write ${list} as a map.`)
      continue
    }
    for (const [name, value] of Object.entries(values)) {
      if (!NAME.test(name)) problems.add(list, "InvalidValue", "one of its names has other characters than letters, digits, dashes, dots and underscores, or too many (at most 253)", "Correct the names.")
      else if (typeof value !== "string") problems.add(fieldOf(list, name), "InvalidValue", "it is not text", list === "data" ? "Write base64, or use stringData." : "Put it in quotes.")
      else if (list === "data" && !isBase64(value)) problems.add(fieldOf(list, name), "InvalidValue", "it is not base64", "Encode it, or use stringData.")
      else content.set(name, { field: fieldOf(list, name), octets: new Redacted(Buffer.from(value, list === "data" ? "base64" : "utf8")) })
    }
  }
  return { content, problems: problems.found }
}

/** Schemas quote values, and a field that nobody knows may itself be content in a wrong place. */
export const unquoted = ({ field, reason, message, fix }: Problem): Problem => {
  if (reason === "UnknownField") {
    if (field.split(/[.[]/).every((step) => step.length <= LONGEST_NAME && /^[-_/a-zA-Z0-9\]]*$/.test(step))) return { field, reason, message, fix }
    return { field: "", reason, message: "A field of this Secret is not one that Headgate knows", fix: "Check its spelling and its indentation, or remove it." }
  }
  return reason === "InvalidValue" ? { field, reason, message: `${field}: its value cannot be used here`, fix } : { field, reason, message, fix }
}

/** Fields that the kind has on the bus and a Secret in the outside has not. */
export const foreignFields = (object: Readonly<Record<string, unknown>>): readonly Problem[] =>
  OURS.filter((field) => object[field] !== undefined).map((field) => ({ field, reason: "UnknownField", message: `${field} is not a field of a Secret`, fix: `Remove ${field}.` }))
