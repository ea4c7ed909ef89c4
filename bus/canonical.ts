/**
 * JSON with sorted keys and nothing undefined: equal values are equal bytes, whatever order they were built in.
 * Throws TypeError for what JSON cannot say (NaN, functions, bigint, cycles by stack overflow): that is a bug.
 */
export const canonical = (value: unknown): string => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return JSON.stringify(value)
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`${value} has no canonical form`)
      return JSON.stringify(value)
    case "object":
      if (Array.isArray(value)) return list(value)
      return isRecord(value) ? record(value) : "null"
    default:
      throw new TypeError(`${typeof value} has no canonical form`)
  }
}

type Loose = Readonly<Record<string, unknown>>

const isRecord = (value: object | null): value is Loose => value !== null

const list = (items: readonly unknown[]): string => {
  let body = ""
  for (const item of items) body += `${body === "" ? "" : ","}${canonical(item === undefined ? null : item)}`
  return `[${body}]`
}

const record = (members: Loose): string => {
  let body = ""
  for (const key of Object.keys(members).sort()) {
    const member = members[key]
    if (member !== undefined) body += `${body === "" ? "" : ","}${JSON.stringify(key)}:${canonical(member)}`
  }
  return `{${body}}`
}
