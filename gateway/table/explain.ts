/**
 * Why a request goes where it goes: what port.ts and match.ts search, looked at once more without haste, with the
 * reason for everything that was passed over. For people's questions (`headgate explain`): a gateway does not load it.
 * The property test holds its winner to `CompiledPort.find` and its reasons to the oracle's way of looking at matches.
 */
import type { Candidate } from "./candidate.ts"
import type { PathTest, ValueTest } from "./conditions.ts"
import { ANY_HOST } from "./host.ts"
import type { CompiledPort } from "./port.ts"
import { parameterHolds } from "./query.ts"
import type { RequestView, TableRule } from "./table.ts"

/** The first condition that does not hold, in this order. */
export type Failed =
  | { readonly condition: "path" }
  | { readonly condition: "method" }
  /** `test`: which of the candidate's, from 0. `got` undefined: the request has none of that name. */
  | { readonly condition: "header" | "query"; readonly test: number; readonly name: string; readonly got: string | undefined }

/** What decides between two candidates that both take a request: the first in this order in which they differ. */
export const RANKS = ["priority", "host", "path type", "path length", "method", "headers", "query", "age", "route id", "rule order", "match order"] as const
export type Rank = (typeof RANKS)[number]

export type Verdict =
  | { readonly is: "wins" }
  | { readonly is: "fails"; readonly failed: Failed }
  /** It takes the request too; the winner comes before it by this. */
  | { readonly is: "loses"; readonly by: Rank }

export interface Considered {
  readonly candidate: Candidate
  /** The most specific of the host patterns it is reachable under that take the host. */
  readonly host: string
  readonly verdict: Verdict
}

export interface Looked {
  /** Most specific first. */
  readonly listeners: readonly { readonly id: string; readonly pattern: string; readonly verdict: "serves" | "less specific" | "other host" }[]
  /** Of the listener that serves, most specific first. */
  readonly hosts: readonly { readonly pattern: string; readonly takes: boolean }[]
  /** Under the patterns that take the host, in order of precedence. */
  readonly candidates: readonly Considered[]
  /** Null: 404. */
  readonly rule: TableRule | null
}

export const look = (port: CompiledPort, request: RequestView): Looked => {
  const { host } = request
  const all = [...port.listeners.entries()].sort(([a], [b]) => bySpecificity(a, b))
  const serving = all.find(([pattern]) => takesHost(pattern, host))
  const listeners = all.map(([pattern, { id }]) => ({ id, pattern, verdict: id === serving?.[1].id && pattern === serving[0] ? "serves" as const : takesHost(pattern, host) ? "less specific" as const : "other host" as const }))
  const routes = serving === undefined ? [] : [...serving[1].routes.entries()].sort(([a], [b]) => bySpecificity(a, b))
  const hostOf = new Map<Candidate, string>()
  for (const [pattern, index] of routes) {
    if (takesHost(pattern, host)) for (const candidate of index.candidates()) if (!hostOf.has(candidate)) hostOf.set(candidate, pattern)
  }
  const ranked = [...hostOf].map(([candidate, pattern]) => ({ candidate, host: pattern, ranks: ranksOf(candidate, pattern), failed: failedOf(candidate, request) })).sort((a, b) => firstDifference(a.ranks, b.ranks).sign)
  const winner = ranked.find(({ failed }) => failed === undefined)
  const verdict = (one: (typeof ranked)[number]): Verdict => {
    if (one.failed !== undefined) return { is: "fails", failed: one.failed }
    return winner === undefined || one === winner ? { is: "wins" } : { is: "loses", by: RANKS[firstDifference(winner.ranks, one.ranks).at] ?? "match order" }
  }
  return {
    listeners,
    hosts: routes.map(([pattern]) => ({ pattern, takes: takesHost(pattern, host) })),
    candidates: ranked.map((one) => ({ candidate: one.candidate, host: one.host, verdict: verdict(one) })),
    rule: winner?.candidate.rule ?? null,
  }
}

/** `*.a.test` takes one label or more before `.a.test`. */
export const takesHost = (pattern: string, host: string): boolean =>
  pattern === ANY_HOST || pattern === host || (pattern.startsWith("*.") && host.length > pattern.length - 1 && host.endsWith(pattern.slice(1)))

const specificity = (pattern: string): number => (pattern === ANY_HOST ? 0 : pattern.startsWith("*.") ? pattern.length : Number.POSITIVE_INFINITY)
const bySpecificity = (a: string, b: string): number => compare(specificity(b), specificity(a)) || compare(a, b)

const typeRank = (path: PathTest): number => (path.type === "exact" ? 0 : path.type === "prefix" || path.isLate ? 2 : 1)
/** A late regular expression stands between prefix `/`, which has length 0, and any other: the longer the further. */
const lengthOf = (path: PathTest): number => (path.type === "exact" ? 0 : path.type === "prefix" ? path.value.length : path.isLate ? 1 - 1 / (1 + path.value.source.length) : path.value.source.length)

/** One value for each of RANKS; smaller comes first. */
const ranksOf = (candidate: Candidate, host: string): readonly (number | string)[] => [
  -candidate.priority,
  -specificity(host),
  typeRank(candidate.path),
  -lengthOf(candidate.path),
  candidate.method === null ? 1 : 0,
  -(candidate.headers?.length ?? 0),
  -(candidate.query?.length ?? 0),
  candidate.created,
  candidate.rule.route,
  candidate.ruleIndex,
  candidate.matchIndex,
]

const compare = (a: number | string, b: number | string): number => (a < b ? -1 : a > b ? 1 : 0)

const firstDifference = (a: readonly (number | string)[], b: readonly (number | string)[]): { readonly at: number; readonly sign: number } => {
  for (const [at, value] of a.entries()) {
    const sign = compare(value, b[at] ?? "")
    if (sign !== 0) return { at, sign }
  }
  return { at: a.length, sign: 0 }
}

const failedOf = ({ path, method, headers, query }: Candidate, request: RequestView): Failed | undefined => {
  if (!takesPath(path, request.path)) return { condition: "path" }
  if (method !== null && method !== request.method) return { condition: "method" }
  for (const [test, wanted] of (headers ?? []).entries()) {
    const got = request.header(wanted.name)
    if (got === undefined || !is(wanted, got)) return { condition: "header", test, name: wanted.name, got }
  }
  for (const [test, { name, equals, regex }] of (query ?? []).entries()) {
    if (!parameterHolds(request.query, name, equals ?? "", regex)) return { condition: "query", test, name, got: new URLSearchParams(request.query).get(name) ?? undefined }
  }
  return undefined
}

const is = ({ equals, regex }: ValueTest, got: string): boolean => (regex === null ? got === equals : regex.test(got))

const takesPath = (test: PathTest, path: string): boolean => {
  if (test.type === "exact") return path === test.value
  if (test.type === "regex") return test.value.test(path)
  return path === test.value || path.startsWith(`${test.value}/`)
}
