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
    case "object": {
      if (value === null) return "null"
      if (Array.isArray(value)) return `[${value.map((item) => canonical(item === undefined ? null : item)).join(",")}]`
      let body = ""
      for (const [key, member] of Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) {
        if (member !== undefined) body += `${body === "" ? "" : ","}${JSON.stringify(key)}:${canonical(member)}`
      }
      return `{${body}}`
    }
    default:
      throw new TypeError(`${typeof value} has no canonical form`)
  }
}
