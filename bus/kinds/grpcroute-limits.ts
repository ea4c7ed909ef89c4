/** What the GRPCRoute CRD checks beyond shapes (v1.7, standard channel). */
import type { GRPCBackendRef, GRPCRoute, GRPCRouteFilter, GRPCRouteMatch, GRPCRouteRule } from "./gateway-api.ts"
import { backendReference, filterLimits, parentLimits } from "./httproute-limits.ts"
import { Problems, TOKEN, type Problem } from "./limits.ts"

/** Of names in Protocol Buffers; a service's may be qualified. */
const SERVICE = /^\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$/
const METHOD = /^[A-Za-z_][A-Za-z_0-9]*$/

export const grpcRouteLimits = ({ metadata, spec }: GRPCRoute): readonly Problem[] => {
  const problems = new Problems()
  const rules = spec.rules ?? []
  problems.name("metadata.name", metadata.name)
  problems.label("metadata.namespace", metadata.namespace)
  parentLimits(problems, spec.parentRefs ?? [], metadata.namespace)
  problems.count("spec.hostnames", spec.hostnames, 0, 16)
  for (const [i, hostname] of (spec.hostnames ?? []).entries()) problems.hostname(`spec.hostnames[${i}]`, hostname, true)
  problems.count("spec.rules", rules, 0, 16)
  problems.unique("spec.rules", rules, (rule) => rule.name, "name")
  const matches = rules.reduce((sum, rule) => sum + (rule.matches ?? []).length, 0)
  if (matches > 128) problems.add("spec.rules", "TooMany", `${matches} matches in all rules, at most 128 are allowed`, "Split the route in two.")
  for (const [i, rule] of rules.entries()) ruleLimits(problems, `spec.rules[${i}]`, rule)
  return problems.found
}

const ruleLimits = (problems: Problems, at: string, rule: GRPCRouteRule): void => {
  problems.name(`${at}.name`, rule.name)
  problems.count(`${at}.matches`, rule.matches, 0, 64)
  for (const [i, match] of (rule.matches ?? []).entries()) matchLimits(problems, `${at}.matches[${i}]`, match)
  knownFilterLimits(problems, `${at}.filters`, rule.filters)
  problems.count(`${at}.backendRefs`, rule.backendRefs, 0, 16)
  for (const [i, ref] of (rule.backendRefs ?? []).entries()) backendLimits(problems, `${at}.backendRefs[${i}]`, ref)
}

const matchLimits = (problems: Problems, at: string, { method, headers }: GRPCRouteMatch): void => {
  if (method !== undefined) {
    const { type, service, method: name } = method
    problems.oneOf(`${at}.method.type`, type, ["Exact", "RegularExpression"])
    if (service === undefined && name === undefined) problems.add(`${at}.method`, "Required", "service, method or both are needed", `Add ${at}.method.service, or remove ${at}.method.`)
    problems.length(`${at}.method.service`, service, 0, 1024)
    problems.length(`${at}.method.method`, name, 0, 1024)
    if (type === "Exact") {
      problems.pattern(`${at}.method.service`, service, SERVICE, 1024, "the name of a service", "shop.v1.Cart")
      problems.pattern(`${at}.method.method`, name, METHOD, 1024, "the name of a method", "GetCart")
    }
  }
  problems.count(`${at}.headers`, headers, 0, 16)
  problems.unique(`${at}.headers`, headers, (item) => item.name, "name")
  for (const [i, item] of (headers ?? []).entries()) {
    problems.pattern(`${at}.headers[${i}].name`, item.name, TOKEN, 256, "a name of letters, digits and !#$%&'*+-.^_`|~", "x-version")
    problems.oneOf(`${at}.headers[${i}].type`, item.type, ["Exact", "RegularExpression"])
    problems.length(`${at}.headers[${i}].value`, item.value, 1, 4096)
  }
}

const FILTERS: ReadonlySet<string> = new Set(["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"])

/** Of a type that GRPCRoute does not have nothing can be checked: `routes` says what comes of it. */
const knownFilterLimits = (problems: Problems, field: string, filters: readonly GRPCRouteFilter[] | undefined): void => {
  if (filters?.every(({ type }) => FILTERS.has(type)) === true) filterLimits(problems, field, filters)
}

const backendLimits = (problems: Problems, at: string, ref: GRPCBackendRef): void => {
  backendReference(problems, at, ref)
  problems.range(`${at}.weight`, ref.weight, 0, 1_000_000)
  knownFilterLimits(problems, `${at}.filters`, ref.filters)
}
