/** HTTPRouteMatch → Match. */
import type { Match } from "../../bus/kinds/config.ts"
import type { HTTPRouteMatch } from "../../bus/kinds/gateway-api.ts"
import { regexProblem } from "./regex.ts"
import type { Report } from "./report.ts"

type StringMatch = Match["headers"][number]

const PATH_TYPES: Readonly<Record<string, Match["path"]["type"]>> = { Exact: "exact", PathPrefix: "prefix", RegularExpression: "regex" }
const VALUE_TYPES: Readonly<Record<string, StringMatch["type"]>> = { Exact: "exact", RegularExpression: "regex" }

/**
 * Undefined when the match cannot be evaluated (a regular expression that RE2 refuses, a type newer than this
 * program): it is dropped with a note, which never makes a rule match more than it says.
 */
export const matchOf = (match: HTTPRouteMatch, field: string, report: Report): Match | undefined => {
  let sound = true
  const refuse = (reason: string, at: string, message: string, fix: string): undefined => {
    sound = false
    report("error", reason, at, message, fix)
    return undefined
  }
  const regex = (type: string, value: string, at: string): void => {
    const problem = type === "regex" ? regexProblem(value) : undefined
    if (problem !== undefined) refuse("InvalidRegex", at, `The regular expression cannot be used: ${problem}. Nothing matches it until it is mended.`, "Use RE2 syntax: no look-around, no back-references, small repetition counts.")
  }
  const pathType = PATH_TYPES[match.path.type]
  if (pathType === undefined) return refuse("UnsupportedValue", `${field}.path.type`, `Path match type ${match.path.type} is not supported; nothing matches it.`, "Use Exact, PathPrefix or RegularExpression.")
  regex(pathType, match.path.value, `${field}.path.value`)
  const values = (list: "headers" | "queryParams", name: (text: string) => string): StringMatch[] => {
    const byName = new Map<string, StringMatch>()
    const places = new Map<string, number>()
    for (const [i, item] of (match[list] ?? []).entries()) {
      const type = VALUE_TYPES[item.type]
      if (type === undefined) refuse("UnsupportedValue", `${field}.${list}[${i}].type`, `Match type ${item.type} is not supported; nothing matches it.`, "Use Exact or RegularExpression.")
      else if (byName.has(name(item.name))) {
        // HTTPHeaderMatch.name: of equivalent names only the first entry counts.
        report("warning", "Shadowed", `${field}.${list}[${i}]`, `${field}.${list}[${places.get(name(item.name))}] has the same name and comes first: this one is not looked at.`, "Remove one of the two.")
      } else {
        regex(type, item.value, `${field}.${list}[${i}].value`)
        places.set(name(item.name), i)
        byName.set(name(item.name), { name: name(item.name), type, value: item.value })
      }
    }
    // All must hold, in whatever order they are written. Equal meaning, equal bytes.
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }
  const headers = values("headers", (name) => name.toLowerCase())
  const query = values("queryParams", (name) => name)
  if (!sound) return undefined
  return {
    path: { type: pathType, value: pathType === "prefix" ? withoutTrailingSlash(match.path.value) : match.path.value },
    ...(match.method === undefined ? {} : { method: match.method }),
    headers,
    query,
  }
}

/** HTTPPathMatch: a trailing slash of a prefix is ignored. */
const withoutTrailingSlash = (path: string): string => (path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path)
