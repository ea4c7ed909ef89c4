/** What the HTTPRoute CRD checks beyond shapes (v1.7, standard channel). */
import { group, kindName } from "./gateway-api-limits.ts"
import type { BackendObjectRef, CORSFilter, HeaderModifier, HTTPBackendRef, HTTPRoute, HTTPRouteFilter, HTTPRouteMatch, HTTPRouteRule, ParentRef, PathModifier, RequestMirror } from "./gateway-api.ts"
import { Problems, TOKEN, type Problem } from "./limits.ts"

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
const PATH_CHARACTERS = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/
/** GEP-2257. */
const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/
const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 }

/** A GEP-2257 duration in milliseconds, or undefined when it is none. */
export const durationMs = (text: string): number | undefined => {
  if (!DURATION.test(text)) return undefined
  let sum = 0
  for (const [, amount = "0", unit = "ms"] of text.matchAll(/(\d+)(ms|h|m|s)/g)) sum += Number(amount) * (UNITS[unit] ?? 0)
  return sum
}

/** Filter type → the field that holds its settings (the union's discriminator). */
const FILTER_FIELDS = [
  ["RequestHeaderModifier", "requestHeaderModifier"],
  ["ResponseHeaderModifier", "responseHeaderModifier"],
  ["RequestRedirect", "requestRedirect"],
  ["URLRewrite", "urlRewrite"],
  ["RequestMirror", "requestMirror"],
  ["CORS", "cors"],
  ["ExternalAuth", "externalAuth"],
  ["ExtensionRef", "extensionRef"],
] as const
const ONCE = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite", "CORS"]

export const httpRouteLimits = ({ metadata, spec }: HTTPRoute): readonly Problem[] => {
  const problems = new Problems()
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  parentLimits(problems, spec.parentRefs ?? [], metadata.namespace)
  problems.count("spec.hostnames", spec.hostnames, 0, 16)
  for (const [i, hostname] of (spec.hostnames ?? []).entries()) problems.hostname(`spec.hostnames[${i}]`, hostname, true)
  problems.count("spec.rules", spec.rules, 1, 16)
  problems.unique("spec.rules", spec.rules, (rule) => rule.name, "name")
  const matches = spec.rules.reduce((sum, rule) => sum + rule.matches.length, 0)
  if (matches > 128) problems.add("spec.rules", "TooMany", `${matches} matches in all rules, at most 128 are allowed`, "Split the route in two.")
  for (const [i, rule] of spec.rules.entries()) ruleLimits(problems, `spec.rules[${i}]`, rule)
  return problems.found
}

export const parentLimits = (problems: Problems, refs: readonly ParentRef[], namespace: string): void => {
  problems.count("spec.parentRefs", refs, 0, 32)
  problems.unique("spec.parentRefs", refs, (ref) => JSON.stringify([ref.group, ref.kind, ref.namespace ?? namespace, ref.name, ref.sectionName ?? "", ref.port ?? 0]), "parent, sectionName and port")
  for (const [i, ref] of refs.entries()) {
    const at = `spec.parentRefs[${i}]`
    reference(problems, at, ref)
    problems.name(`${at}.sectionName`, ref.sectionName)
  }
}

const ruleLimits = (problems: Problems, at: string, rule: HTTPRouteRule): void => {
  problems.name(`${at}.name`, rule.name)
  problems.count(`${at}.matches`, rule.matches, 0, 64)
  for (const [i, match] of rule.matches.entries()) matchLimits(problems, `${at}.matches[${i}]`, match)
  filterLimits(problems, `${at}.filters`, rule.filters)
  problems.count(`${at}.backendRefs`, rule.backendRefs, 0, 16)
  for (const [i, ref] of (rule.backendRefs ?? []).entries()) backendLimits(problems, `${at}.backendRefs[${i}]`, ref)
  const filters: (readonly [string, HTTPRouteFilter])[] = (rule.filters ?? []).map((filter, i) => [`${at}.filters[${i}]`, filter])
  if ((rule.backendRefs ?? []).length > 0 && filters.some(([, filter]) => filter.requestRedirect !== undefined)) {
    problems.add(`${at}.filters`, "Forbidden", "a RequestRedirect filter and backendRefs exclude each other", "Remove one of the two.")
  }
  for (const [i, ref] of (rule.backendRefs ?? []).entries()) for (const [k, filter] of (ref.filters ?? []).entries()) filters.push([`${at}.backendRefs[${i}].filters[${k}]`, filter])
  const onePrefix = rule.matches.length === 1 && rule.matches[0]?.path.type === "PathPrefix"
  for (const [field, filter] of filters) {
    for (const name of ["requestRedirect", "urlRewrite"] as const) {
      if (filter[name]?.path?.replacePrefixMatch === undefined || onePrefix) continue
      problems.add(`${field}.${name}.path.replacePrefixMatch`, "Forbidden", "it needs a rule with exactly one match, of path type PathPrefix", "Split the rule, or use ReplaceFullPath.")
    }
  }
  timeoutLimits(problems, `${at}.timeouts`, rule.timeouts)
  retryLimits(problems, `${at}.retry`, rule.retry)
}

const retryLimits = (problems: Problems, at: string, retry: HTTPRouteRule["retry"]): void => {
  if (retry === undefined) return
  const { codes, attempts, backoff } = retry
  problems.unique(`${at}.codes`, codes, String, "code")
  for (const [i, code] of (codes ?? []).entries()) problems.range(`${at}.codes[${i}]`, code, 400, 599)
  problems.range(`${at}.attempts`, attempts, 0, 2 ** 31 - 1)
  if (backoff !== undefined && durationMs(backoff) === undefined) problems.add(`${at}.backoff`, "InvalidValue", `"${backoff}" is not a duration`, "Write something like 100ms or 1s.")
}

const timeoutLimits = (problems: Problems, at: string, timeouts: HTTPRouteRule["timeouts"]): void => {
  if (timeouts === undefined) return
  const { request, backendRequest } = timeouts
  for (const [name, text] of [["request", request], ["backendRequest", backendRequest]] as const) {
    if (text !== undefined && durationMs(text) === undefined) problems.add(`${at}.${name}`, "InvalidValue", `"${text}" is not a duration`, "Write something like 500ms, 10s or 1m30s.")
  }
  const whole = durationMs(request ?? "0s") ?? 0
  const part = durationMs(backendRequest ?? "0s") ?? 0
  if (whole !== 0 && part > whole) problems.add(`${at}.backendRequest`, "InvalidValue", "it is longer than timeouts.request", "Shorten it.")
}

const matchLimits = (problems: Problems, at: string, match: HTTPRouteMatch): void => {
  const { type, value } = match.path
  problems.oneOf(`${at}.path.type`, type, ["Exact", "PathPrefix", "RegularExpression"])
  problems.length(`${at}.path.value`, value, 0, 1024)
  if (type === "Exact" || type === "PathPrefix") pathLimits(problems, `${at}.path.value`, value)
  problems.oneOf(`${at}.method`, match.method, METHODS)
  for (const [list, longest] of [["headers", 4096], ["queryParams", 1024]] as const) {
    problems.count(`${at}.${list}`, match[list], 0, 16)
    problems.unique(`${at}.${list}`, match[list], (item) => item.name, "name")
    for (const [i, item] of (match[list] ?? []).entries()) {
      problems.pattern(`${at}.${list}[${i}].name`, item.name, TOKEN, 256, "a name of letters, digits and !#$%&'*+-.^_`|~", "x-version")
      problems.oneOf(`${at}.${list}[${i}].type`, item.type, ["Exact", "RegularExpression"])
      problems.length(`${at}.${list}[${i}].value`, item.value, 1, longest)
    }
  }
}

const pathLimits = (problems: Problems, field: string, value: string): void => {
  if (!value.startsWith("/")) problems.add(field, "InvalidValue", `"${value}" does not start with "/"`, `Write "/${value}".`)
  for (const part of ["//", "/./", "/../", "%2f", "%2F", "#"]) {
    if (value.includes(part)) problems.add(field, "InvalidValue", `it must not contain "${part}"`, `Remove "${part}".`)
  }
  for (const end of ["/.", "/.."]) if (value.endsWith(end)) problems.add(field, "InvalidValue", `it must not end with "${end}"`, `Remove "${end}".`)
  if (!PATH_CHARACTERS.test(value) && value.startsWith("/") && !value.includes("#")) problems.add(field, "InvalidValue", "it holds a character that a URI path cannot", "Percent-encode it.")
}

export const filterLimits = (problems: Problems, field: string, filters: readonly HTTPRouteFilter[] | undefined): void => {
  problems.count(field, filters, 0, 16)
  const types = (filters ?? []).map((filter) => filter.type)
  if (types.includes("RequestRedirect") && types.includes("URLRewrite")) problems.add(field, "Forbidden", "RequestRedirect and URLRewrite exclude each other", "Remove one of the two.")
  problems.unique(field, filters, (filter) => (ONCE.includes(filter.type) ? filter.type : undefined), "type")
  for (const [i, filter] of (filters ?? []).entries()) {
    const at = `${field}[${i}]`
    for (const [type, name] of FILTER_FIELDS) {
      if (filter.type === type && filter[name] === undefined) problems.add(`${at}.${name}`, "Required", `a ${type} filter needs it`, `Add ${at}.${name}.`)
      if (filter.type !== type && filter[name] !== undefined) problems.add(`${at}.${name}`, "Forbidden", `it belongs to a filter of type ${type}, this one is ${filter.type}`, `Set type: ${type}, or remove it.`)
    }
    headerLimits(problems, `${at}.requestHeaderModifier`, filter.requestHeaderModifier)
    headerLimits(problems, `${at}.responseHeaderModifier`, filter.responseHeaderModifier)
    if (filter.requestRedirect !== undefined) {
      problems.oneOf(`${at}.requestRedirect.scheme`, filter.requestRedirect.scheme, ["http", "https"])
      problems.hostname(`${at}.requestRedirect.hostname`, filter.requestRedirect.hostname, false)
      problems.range(`${at}.requestRedirect.port`, filter.requestRedirect.port, 1, 65535)
      problems.oneOf(`${at}.requestRedirect.statusCode`, filter.requestRedirect.statusCode, [301, 302, 303, 307, 308])
      modifierLimits(problems, `${at}.requestRedirect.path`, filter.requestRedirect.path)
    }
    if (filter.requestMirror !== undefined) mirrorLimits(problems, `${at}.requestMirror`, filter.requestMirror)
    if (filter.cors !== undefined) corsLimits(problems, `${at}.cors`, filter.cors)
    problems.hostname(`${at}.urlRewrite.hostname`, filter.urlRewrite?.hostname, false)
    modifierLimits(problems, `${at}.urlRewrite.path`, filter.urlRewrite?.path)
  }
}

const mirrorLimits = (problems: Problems, at: string, { backendRef, percent, fraction }: RequestMirror): void => {
  backendReference(problems, `${at}.backendRef`, backendRef)
  problems.range(`${at}.percent`, percent, 0, 100)
  if (fraction === undefined) return
  if (percent !== undefined) problems.add(`${at}.fraction`, "Forbidden", "percent and fraction exclude each other", "Remove one of the two.")
  problems.range(`${at}.fraction.denominator`, fraction.denominator, 1, 2 ** 31 - 1)
  problems.range(`${at}.fraction.numerator`, fraction.numerator, 0, fraction.denominator)
}

/** As the CRD has it: the host may be `*`, or begin with `*.`. */
export const CORS_ORIGIN = /^(\*|https?:\/\/(\*|(\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+)(:[0-9]{1,5})?)$/

const corsLimits = (problems: Problems, at: string, cors: CORSFilter): void => {
  for (const [list, most] of [["allowOrigins", 64], ["allowMethods", 9], ["allowHeaders", 64], ["exposeHeaders", 64]] as const) {
    const items = cors[list]
    problems.count(`${at}.${list}`, items, 0, most)
    problems.unique(`${at}.${list}`, items, (item) => item, "value")
    if (list !== "exposeHeaders" && items !== undefined && items.length > 1 && items.includes("*")) problems.add(`${at}.${list}`, "InvalidValue", '"*" stands for all, so nothing else may stand beside it', 'Leave "*" alone, or remove it.')
    for (const [i, item] of (items ?? []).entries()) {
      if (list === "allowOrigins") problems.pattern(`${at}.${list}[${i}]`, item, CORS_ORIGIN, 253, 'an origin of scheme, host and port, or "*"', "https://*.example.com")
      else if (list === "allowMethods") problems.oneOf(`${at}.${list}[${i}]`, item, [...METHODS, "*"])
      else problems.pattern(`${at}.${list}[${i}]`, item, TOKEN, 256, "a header name", "x-version")
    }
  }
  problems.range(`${at}.maxAge`, cors.maxAge, 1, 2 ** 31 - 1)
}

const headerLimits = (problems: Problems, at: string, modifier: HeaderModifier | undefined): void => {
  for (const list of ["set", "add"] as const) {
    problems.count(`${at}.${list}`, modifier?.[list], 0, 16)
    problems.unique(`${at}.${list}`, modifier?.[list], (item) => item.name.toLowerCase(), "name")
    for (const [i, item] of (modifier?.[list] ?? []).entries()) {
      problems.pattern(`${at}.${list}[${i}].name`, item.name, TOKEN, 256, "a header name", "x-version")
      problems.length(`${at}.${list}[${i}].value`, item.value, 1, 4096)
      // RFC 9110 §5.5: with CR, LF or NUL one header would become several; what is beyond ASCII each reader takes otherwise.
      if (/[^\t\x20-\x7e]/.test(item.value)) problems.add(`${at}.${list}[${i}].value`, "InvalidValue", "it holds a line break, a control character or one beyond ASCII", "Write it on one line of visible ASCII, spaces and tabs.")
    }
  }
  problems.count(`${at}.remove`, modifier?.remove, 0, 16)
  for (const [i, name] of (modifier?.remove ?? []).entries()) problems.pattern(`${at}.remove[${i}]`, name, TOKEN, 256, "a header name", "x-version")
}

const modifierLimits = (problems: Problems, at: string, modifier: PathModifier | undefined): void => {
  if (modifier === undefined) return
  problems.oneOf(`${at}.type`, modifier.type, ["ReplaceFullPath", "ReplacePrefixMatch"])
  for (const [type, name] of [["ReplaceFullPath", "replaceFullPath"], ["ReplacePrefixMatch", "replacePrefixMatch"]] as const) {
    if (modifier.type === type && modifier[name] === undefined) problems.add(`${at}.${name}`, "Required", `type ${type} needs it`, `Add ${at}.${name}.`)
    if (modifier.type !== type && modifier[name] !== undefined) problems.add(`${at}.${name}`, "Forbidden", `it belongs to type ${type}`, `Set type: ${type}, or remove it.`)
    problems.length(`${at}.${name}`, modifier[name], 0, 1024)
  }
}

const reference = (problems: Problems, at: string, ref: ParentRef | BackendObjectRef): void => {
  group(problems, `${at}.group`, ref.group)
  kindName(problems, `${at}.kind`, ref.kind)
  problems.length(`${at}.name`, ref.name, 1, 253)
  problems.label(`${at}.namespace`, ref.namespace)
  problems.range(`${at}.port`, ref.port, 1, 65535)
}

export const backendReference = (problems: Problems, at: string, ref: BackendObjectRef): void => {
  reference(problems, at, ref)
  if (ref.group === "" && ref.kind === "Service" && ref.port === undefined) problems.add(`${at}.port`, "Required", "a reference to a Service needs it", `Add ${at}.port.`)
}

const backendLimits = (problems: Problems, at: string, ref: HTTPBackendRef): void => {
  backendReference(problems, at, ref)
  problems.range(`${at}.weight`, ref.weight, 0, 1_000_000)
  filterLimits(problems, `${at}.filters`, ref.filters)
}
