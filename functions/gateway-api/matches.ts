/** HTTPRouteMatch and GRPCRouteMatch → Match. */
import type { Match } from "../../bus/kinds/config.ts"
import type { GRPCRouteMatch, HTTPRouteMatch } from "../../bus/kinds/gateway-api.ts"
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
  const check = new Check(report)
  const pathType = PATH_TYPES[match.path.type]
  if (pathType === undefined) {
    check.refuse("UnsupportedValue", `${field}.path.type`, `Path match type ${match.path.type} is not supported; nothing matches it.`, "Use Exact, PathPrefix or RegularExpression.")
    return undefined
  }
  if (pathType === "regex") check.regex(match.path.value, `${field}.path.value`)
  const headers = check.values(match.headers, `${field}.headers`, lowerCase)
  const query = check.values(match.queryParams, `${field}.queryParams`, (name) => name)
  if (!check.isSound) return undefined
  return {
    path: { type: pathType, value: pathType === "prefix" ? withoutTrailingSlash(match.path.value) : match.path.value },
    ...(match.method === undefined ? {} : { method: match.method }),
    headers,
    query,
  }
}

/**
 * A call is a POST of `/<service>/<method>`. Precedence of GRPCRouteRule.matches (longer service, longer method, more
 * headers) is that of paths: both named: exact; the service: prefix; the method alone: a regular expression behind all
 * prefixes; neither: prefix `/`. Undefined as for `matchOf`.
 */
export const grpcMatchOf = ({ method, headers }: GRPCRouteMatch, field: string, report: Report): Match | undefined => {
  const check = new Check(report)
  const path = method === undefined ? EVERY_PATH : pathOf(method, `${field}.method`, check)
  const tests = check.values(headers, `${field}.headers`, lowerCase)
  return path === undefined || !check.isSound ? undefined : { path, method: "POST", headers: tests, query: [] }
}

const EVERY_PATH: Match["path"] = { type: "prefix", value: "/" }
/** A segment of a path, whatever it is. */
const ANY = "[^/]+"

const pathOf = ({ type, service = "", method = "" }: NonNullable<GRPCRouteMatch["method"]>, field: string, check: Check): Match["path"] | undefined => {
  if (service === "" && method === "") return EVERY_PATH
  switch (type) {
    case "Exact":
      if (service === "") return { type: "regex", value: `/${ANY}/${method}`, late: true }
      return method === "" ? { type: "prefix", value: `/${service}` } : { type: "exact", value: `/${service}/${method}` }
    case "RegularExpression": {
      check.regex(service, `${field}.service`)
      check.regex(method, `${field}.method`)
      if (!check.isSound) return undefined
      const value = `/${service === "" ? ANY : `(?:${service})`}/${method === "" ? ANY : `(?:${method})`}`
      check.regex(value, field)
      return { type: "regex", value, ...(service === "" ? { late: true } : {}) }
    }
    default:
      check.refuse("UnsupportedValue", `${field}.type`, `Method match type ${type} is not supported; nothing matches it.`, "Use Exact or RegularExpression.")
      return undefined
  }
}

/** Of one match: what in it cannot be evaluated is reported. */
class Check {
  isSound = true
  readonly #report: Report

  constructor(report: Report) {
    this.#report = report
  }

  refuse(reason: string, at: string, message: string, fix: string): void {
    this.isSound = false
    this.#report("error", reason, at, message, fix)
  }

  regex(value: string, at: string): void {
    const problem = regexProblem(value)
    if (problem !== undefined) this.refuse("InvalidRegex", at, `The regular expression cannot be used: ${problem}. Nothing matches it until it is mended.`, "Use RE2 syntax: no look-around, no back-references, small repetition counts.")
  }

  values(items: readonly { readonly name: string; readonly type: string; readonly value: string }[] | undefined, field: string, nameOf: (text: string) => string): StringMatch[] {
    const byName = new Map<string, StringMatch>()
    const places = new Map<string, number>()
    for (const [i, item] of (items ?? []).entries()) {
      const type = VALUE_TYPES[item.type]
      const name = nameOf(item.name)
      if (type === undefined) this.refuse("UnsupportedValue", `${field}[${i}].type`, `Match type ${item.type} is not supported; nothing matches it.`, "Use Exact or RegularExpression.")
      else if (byName.has(name)) {
        // HTTPHeaderMatch.name: of equivalent names only the first entry counts.
        this.#report("warning", "Shadowed", `${field}[${i}]`, `${field}[${places.get(name)}] has the same name and comes first: this one is not looked at.`, "Remove one of the two.")
      } else {
        if (type === "regex") this.regex(item.value, `${field}[${i}].value`)
        places.set(name, i)
        byName.set(name, { name, type, value: item.value })
      }
    }
    // All must hold, in whatever order they are written. Equal meaning, equal bytes.
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }
}

const lowerCase = (name: string): string => name.toLowerCase()

/** HTTPPathMatch: a trailing slash of a prefix is ignored. */
const withoutTrailingSlash = (path: string): string => (path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path)
