/** What was explained of a request, in words. */
import type { Filter, RuleOverlay } from "../../bus/kinds/config.ts"
import { matchText } from "../../functions/gateway-api/match-text.ts"
import type { Considered, Rank } from "../../gateway/table/explain.ts"
import type { Candidate } from "../../gateway/table/candidate.ts"
import type { ValueTest } from "../../gateway/table/conditions.ts"
import { columns, clock, section } from "./explain-layout.ts"
import type { ExplainedRequest, Question, Share } from "./explain-request.ts"
import type { CommitAt } from "./explain-read.ts"
import { originOf } from "./origin.ts"
import type { Ack } from "./wait-gateways.ts"

/** Of candidates whose path is another so many are named, of listeners and others more. */
const FEW = 4
const MANY = 20

export const requestText = (question: Question, explained: ExplainedRequest, units: readonly CommitAt[], acks: readonly Ack[]): string => {
  const { plane, port, protocol, looked, route, overlays, merged, answer, shares, certificates } = explained
  const served = acks.flatMap(({ applied }) => applied.listeners.filter(({ id, specPort }) => `:${specPort}` === port.slice(port.lastIndexOf(":")) && looked.listeners.some((listener) => listener.id === id)).map((listener) => `${listener.address}:${listener.port}`))
  const matched = route?.rule.matches[route.matchIndex]
  const serving = looked.listeners.find(({ verdict }) => verdict === "serves")
  return [
    `${question.method} ${originOf(question.scheme, question.host, question.port)}${question.target}${question.headers.map(([name, value]) => `  ${name}: ${value}`).join("")}\n\n`,
    section("arrives at", [`data plane ${plane}, port ${port.replace(/^\*:/, "")} (${protocol})${served.length === 0 ? "" : `, bound to ${[...new Set(served)].join(", ")}`}`]),
    section("listener", [
      ...(looked.listeners.length === 0 ? [] : [serving === undefined ? `none takes the host ${question.host}` : `${serving.id}, for ${hostWords(serving.pattern)}`]),
      ...some(looked.listeners.filter(({ verdict }) => verdict !== "serves").map(({ id, pattern, verdict }) => `  not ${id}: ${verdict === "less specific" ? `${hostWords(pattern)} is less specific` : `it is for ${hostWords(pattern)}`}`), MANY, "more"),
    ]),
    question.scheme === "https" && certificates.length > 0 ? section("certificate", certificates.map(({ id, value }) => `${id} (${value.keyType ?? "?"}): ${value.names.join(", ")}; valid ${value.notBefore ?? "?"} to ${value.notAfter ?? "?"}${value.fingerprint === undefined ? "" : `, SHA-256 ${value.fingerprint.slice(0, 16)}…`}`)) : "",
    looked.hosts.length < 2 ? "" : section("hosts", [
      ...looked.hosts.filter(({ takes }) => takes).map(({ pattern }) => `+ ${hostWords(pattern)}`),
      ...some(looked.hosts.filter(({ takes }) => !takes).map(({ pattern }) => `- ${hostWords(pattern)}`), FEW, "that do not take it"),
    ]),
    section("candidates", candidateLines(looked.candidates)),
    route === undefined ? "" : section("route", [`${route.id}, rule ${route.rule.name ?? route.ruleIndex}, match ${route.matchIndex}: ${matched === undefined ? "" : matchText(matched)}`]),
    route === undefined || route.rule.filters.length === 0 ? "" : section("filters", route.rule.filters.flatMap(filterWords)),
    section("overlays", [...(merged.length === 0 ? [] : [`of ${some(merged, FEW, "more").join(", ")}`]), ...overlays.map(({ index, overlay }) => `${index + 1} of ${route?.rule.overlays?.length ?? 0}${overlay.match === undefined ? "" : `, for ${matchText(overlay.match)}`}: ${overlayWords(overlay)}`)]),
    answer === undefined ? "" : section("answer", [`${answer.status === 0 ? "none" : answer.status}: ${answer.why}${answer.location === undefined ? "" : `, to ${answer.location}`}`]),
    section(shares.length === 1 ? "backend" : "backends", shares.flatMap((share) => shareLines(share, shares.length > 1))),
    section("answered so", podLines(units, acks)),
  ].join("")
}

const hostWords = (pattern: string): string => (pattern === "*" ? "any host" : pattern)

const some = (lines: readonly string[], most: number, what: string): readonly string[] => (lines.length <= most ? lines : [...lines.slice(0, most), `  and ${lines.length - most} ${what}`])

const candidateLines = (candidates: readonly Considered[]): readonly string[] => {
  const otherPath = candidates.filter(({ verdict }) => verdict.is === "fails" && verdict.failed.condition === "path")
  const dropped = new Set(otherPath.slice(FEW))
  const shown = candidates.filter((one) => !dropped.has(one)).slice(0, MANY + FEW)
  const left = candidates.length - shown.length
  const hosts = new Set(candidates.map(({ host }) => host))
  const rows = shown.map((one) => [
    `${one.verdict.is === "wins" ? ">" : "-"} ${one.candidate.rule.id}`,
    `${hosts.size > 1 ? `${hostWords(one.host)}: ` : ""}${conditionsWords(one.candidate)}`,
    one.verdict.is === "wins" ? "takes it" : reasonOf(one),
  ])
  if (candidates.length === 0) return []
  return [...columns(rows), ...(left === 0 ? [] : [`  and ${left} more${left === dropped.size ? " whose path is another" : ""}`])]
}

/** Why a candidate did not get the request. */
export const reasonOf = ({ candidate, verdict }: Considered): string => {
  if (verdict.is === "wins") return ""
  if (verdict.is === "loses") return `takes it too; ${LOST[verdict.by](candidate)}`
  const { failed } = verdict
  if (failed.condition === "path") return "the path is another"
  if (failed.condition === "method") return "the method is another"
  const what = failed.condition === "header" ? `header ${failed.name}` : `query parameter ${failed.name}`
  return failed.got === undefined ? `there is no ${what}` : `${what} is ${JSON.stringify(failed.got)}`
}

const LOST: Readonly<Record<Rank, (candidate: Candidate) => string>> = {
  priority: ({ priority }) => `its priority is lower (${priority})`,
  host: () => "its host pattern is less specific",
  "path type": ({ path }) => (path.type === "prefix" ? "it is a prefix" : "it is an expression"),
  "path length": ({ path }) => `its ${path.type === "regex" ? "expression" : "prefix"} is shorter`,
  method: () => "it names no method",
  headers: () => "it names fewer headers",
  query: () => "it names fewer parameters",
  age: ({ created }) => `its route is younger${created === "" ? "" : ` (${created})`}`,
  "route id": () => "it comes later by name",
  "rule order": () => "it is a later rule",
  "match order": () => "it is a later match",
}

const testWords = (prefix: string, tests: readonly ValueTest[] | null): readonly string[] => (tests ?? []).map(({ name, equals, regex }) => `${prefix}${name} ${regex === null ? "=" : "~"} ${regex === null ? equals : regex.source}`)

const conditionsWords = ({ path, method, headers, query }: Candidate): string =>
  [path.type === "regex" ? `regex ${path.value.source}` : `${path.type} ${path.value === "" ? "/" : path.value}`, ...(method === null ? [] : [method]), ...testWords("", headers), ...testWords("?", query)].join(", ")

const pathWords = (path: { readonly type: "full" | "prefix"; readonly value: string } | undefined): string => (path === undefined ? "" : path.type === "full" ? `path ${path.value}` : `${path.value === "" ? "/" : path.value} in place of the matched prefix`)

/** A filter as people would say it, one line for each thing it does. */
export const filterWords = (filter: Filter): readonly string[] => {
  switch (filter.type) {
    case "requestHeaders":
    case "responseHeaders": {
      const side = filter.type === "requestHeaders" ? "request" : "response"
      return [...filter.remove.map((name) => `removes ${side} header ${name}`), ...filter.set.map(([name, value]) => `sets ${side} header ${name}: ${value}`), ...filter.add.map(([name, value]) => `adds ${side} header ${name}: ${value}`)]
    }
    case "redirect":
      return [`redirects with ${filter.status}${[filter.scheme === undefined ? "" : `scheme ${filter.scheme}`, filter.hostname === undefined ? "" : `host ${filter.hostname}`, filter.port === undefined ? "" : `port ${filter.port}`, pathWords(filter.path)].filter((part) => part !== "").map((part, i) => `${i === 0 ? " to " : ", "}${part}`).join("")}`]
    case "rewrite":
      return [`rewrites ${[filter.hostname === undefined ? "" : `host to ${filter.hostname}`, filter.path === undefined ? "" : `path: ${pathWords(filter.path)}`].filter((part) => part !== "").join(", ")}`]
    case "mirror":
      return [`mirrors ${filter.numerator >= filter.denominator ? "every request" : `${filter.numerator} in ${filter.denominator} requests`} to ${filter.cluster}`]
    case "cors":
      return [`shares with ${filter.origins.length === 0 ? "no other origin" : filter.origins.join(", ")}${filter.credentials ? ", credentials too" : ""}; answers preflights`]
    default:
      // Of a later version than these words.
      return [JSON.stringify(filter)]
  }
}

const overlayWords = ({ filters, weights, answer }: RuleOverlay): string =>
  [...(answer === undefined ? [] : [`answers ${answer.status}`]), ...(weights === undefined ? [] : [`weights ${weights.join(", ")}`]), ...filters.flatMap(filterWords)].join("; ") || "changes nothing"

const shareLines = ({ share, cluster, endpoints, empty, status, location, upstream, filters }: Share, isOne: boolean): readonly string[] => {
  const part = isOne ? `${(share * 100).toFixed(share * 100 % 1 === 0 ? 0 : 1)} %  ` : ""
  const more = endpoints.length > 4 ? ` and ${endpoints.length - 4} more` : ""
  const to = cluster === undefined ? "no backend" : cluster
  const what = status === undefined ? `${endpoints.slice(0, 4).join(", ")}${more}` : location === undefined ? `${status}${empty === undefined ? ", answered here" : `: ${EMPTY[empty] ?? empty}`}` : `${status} to ${location}`
  return [
    `${part}${to} → ${what}`,
    ...(status !== undefined || (upstream.host === undefined && upstream.path === undefined) ? [] : [`  gets ${upstream.path ?? "the path as it is"}${upstream.host === undefined ? "" : `, host ${upstream.host}`}`]),
    ...filters.flatMap(filterWords).map((line) => `  ${line}`),
  ]
}

const EMPTY: Readonly<Record<string, string>> = {
  NoSuchService: "there is no such Service", NoSuchPort: "the Service has no such port", NoReadyEndpoints: "no endpoint is ready",
  UnsupportedProtocol: "its protocol is not supported", NoSuchEntry: "the cluster has not been published",
}

const podLines = (units: readonly CommitAt[], acks: readonly Ack[]): readonly string[] => {
  if (acks.length === 0) return ["by no gateway: none has acked anything"]
  return columns(acks.map(({ applied: { plane, pod, ready, units: has }, time }) => {
    const older = units.flatMap(({ fn, rev, epoch }) => (has[fn] !== undefined && has[fn].rev >= rev && has[fn].epoch >= epoch ? [] : [`${fn} at ${has[fn]?.rev ?? "nothing"}, this is ${rev}`]))
    return [`${older.length === 0 && ready ? "+" : "-"} gateway ${plane}/${pod}`, older.length === 0 ? (ready ? units.map(({ fn, rev }) => `${fn} at ${rev}`).join(", ") : "is not ready") : `serves an older revision: ${older.join("; ")}`, `last ack ${clock(time)}`]
  }))
}
