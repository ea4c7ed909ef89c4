/** `headgate describe KIND NAME`: one object, what became of it, why, and where it is served. */
import { stringify } from "yaml"
import type { Note } from "../../bus/kinds/config.ts"
import { parentText } from "./columns.ts"
import { conditionsIn, isGood, statuses } from "./conditions.ts"
import { secretBody } from "./describe-secret.ts"
import { columns, section } from "./explain-layout.ts"
import { at, fieldBeside, list } from "./field.ts"
import { notesOn, printable } from "./get.ts"
import type { Item, Observed } from "./observe.ts"
import { closeTo } from "./object-name.ts"

export interface DescribeOptions {
  /** Subject token: `httproute`. */
  readonly kind: string
  /** As in Kubernetes: `HTTPRoute`. */
  readonly kindName: string
  readonly name: string
  readonly namespace: string | undefined
}

/** Paragraphs of one object; undefined when there is none of that name. `textOf` as for `get`. */
export const describe = (observed: Observed, { kind, kindName, name, namespace }: DescribeOptions, textOf: (file: string) => string | undefined): string | undefined => {
  const found = observed.resources
    .filter((item) => item.kind === kind && item.key.slice(item.key.indexOf("/") + 1) === name && (namespace === undefined || item.key.startsWith(`${namespace}/`)))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  const notesAbout = notesOn(observed, textOf)
  return found.length === 0 ? undefined : found.map((item) => one(item, kindName, observed, notesAbout(kindName, item.key))).join("\n")
}

/** Objects of the kind that are called something like it, as `describe` takes them. */
export const alike = ({ resources }: Observed, { kind, name, namespace }: DescribeOptions): readonly string[] => {
  const keys = resources.flatMap((item) => (item.kind === kind ? [item.key] : []))
  return closeTo(namespace === undefined ? name : `${namespace}/${name}`, keys).map((key) => `${kind} ${key.slice(key.indexOf("/") + 1)}${key.startsWith("/") ? "" : ` -n ${key.slice(0, key.indexOf("/"))}`}`)
}

const text = (value: unknown): string => (typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value))
const joined = (values: readonly unknown[]): string => values.map(text).join(", ")

const one = (item: Item, kindName: string, observed: Observed, notes: readonly Note[]): string => {
  const status = statuses(observed)(item.kind, item.key)
  const generation = at(item.value, "metadata", "generation") ?? at(status, "observedGeneration")
  const own = bodyOf(item, status, observed)
  return [
    `${kindName} ${printable(item.key.startsWith("/") ? item.key.slice(1) : item.key)}\n`,
    section("file", item.file === "" ? [] : [item.file]),
    section("generation", generation === undefined ? [] : [text(generation)]),
    ...own,
    section("notes", notes.flatMap(noteLines)),
  ].join("")
}

const bodyOf = (item: Item, status: unknown, observed: Observed): readonly string[] => {
  switch (item.kind) {
    case "gateway":
      return gatewayBody(item, status, observed)
    case "httproute":
    case "grpcroute":
      return routeBody(item, status, observed)
    case "gatewayclass":
      return [section("controller", [text(at(item.value, "spec", "controllerName"))]), section("conditions", conditionLines(status)), section("features", [list(at(status, "supportedFeatures")).map((feature) => text(at(feature, "name"))).join(" ")])]
    case "secret":
      return secretBody(item.value)
    default:
      return [section(at(item.value, "spec") === undefined ? "value" : "spec", stringify(at(item.value, "spec") ?? item.value).trimEnd().split("\n"))]
  }
}

/** Each with its reason, and with its message where it is not as it should be. */
const conditionLines = (holder: unknown): readonly string[] => {
  const conditions = conditionsIn(holder)
  if (conditions.length === 0) return ["not said yet"]
  const rows = columns(conditions.map(({ type, status, reason }) => [type, status, reason === type ? "" : reason]))
  return conditions.flatMap((condition, i) => [rows[i] ?? "", ...(isGood(condition) ? [] : [`  ${condition.message}`])])
}

/** Of a part of an object, below its line: what is as it should be in one line, then the others. */
const shortly = (holder: unknown): readonly string[] => {
  const conditions = conditionsIn(holder)
  const good = conditions.filter((each) => isGood(each) && each.status === "True").map(({ type }) => type)
  const others = conditions.filter((each) => !isGood(each)).flatMap(({ type, status, reason, message }) => [`  ${type} ${status}, ${reason}`, `    ${message}`])
  return [...(good.length === 0 ? [] : [`  ${good.join(", ")}`]), ...others]
}

const gatewayBody = ({ key, value }: Item, status: unknown, { applied, entries }: Observed): readonly string[] => {
  const statusOf = new Map(list(at(status, "listeners")).map((listener) => [at(listener, "name"), listener]))
  const pods = applied.flatMap((pod) => list(at(pod, "listeners")).flatMap((listener) => (text(at(listener, "id")).startsWith(`${key}/`) ? [{ pod, listener }] : [])))
  const listeners = list(at(value, "spec", "listeners")).flatMap((listener) => {
    const name = text(at(listener, "name"))
    const own = statusOf.get(name)
    const served = [...new Set(pods.filter((each) => at(each.listener, "id") === `${key}/${name}` && at(each.listener, "port") !== 0).map((each) => `${text(at(each.listener, "address"))}:${text(at(each.listener, "port"))}`))]
    const attached = at(own, "attachedRoutes")
    const facts = [`${text(at(listener, "protocol"))} ${text(at(listener, "port"))}`, text(at(listener, "hostname")) || "every host", attached === undefined ? "" : `${text(attached)} ${attached === 1 ? "route" : "routes"}`, served.length === 0 ? "not served" : `at ${served.join(", ")}`]
    return [`${name}: ${facts.filter((fact) => fact !== "").join(", ")}`, ...shortly(own)]
  })
  const byPod = Map.groupBy(pods, ({ pod }) => `${text(at(pod, "plane"))}/${text(at(pod, "pod"))}`)
  const generation = at(status, "observedGeneration")
  const servedBy = [...byPod].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, own]) => {
    const generations = [...new Set(own.map(({ listener }) => at(listener, "generation")))]
    const behind = generation !== undefined && generations.some((each) => each !== generation) ? `generation ${joined(generations)}, not ${text(generation)}` : ""
    return [name, stateOf(own[0]?.pod), behind].filter((part) => part !== "").join(", ")
  })
  const routes = entries.filter((entry) => entry.kind === "route" && list(at(entry.value, "attach")).some((attach) => text(at(attach, "listener")).startsWith(`${key}/`)))
  const names = [...new Set(routes.map((entry) => `${text(at(entry.value, "source", "namespace"))}/${text(at(entry.value, "source", "name"))}`))].sort()
  return [
    section("class", [text(at(value, "spec", "gatewayClassName"))]),
    section("addresses", [joined(list(at(status, "addresses")).map((address) => at(address, "value"))) || "none known"]),
    section("conditions", conditionLines(status)),
    section("listeners", listeners),
    section("routes", names.length === 0 ? ["none is served"] : names.length <= MOST ? [names.join(" ")] : [`${names.slice(0, MOST).join(" ")} and ${names.length - MOST} more`]),
    section("served by", servedBy.length === 0 ? ["no gateway pod"] : servedBy),
  ]
}

const stateOf = (pod: unknown): string => text(at(pod, "waiting")).replace(/\.$/, "") || "ready"

/** More names than this say nothing to a person. */
const MOST = 20

const routeBody = ({ kind, key, value }: Item, status: unknown, { entries, applied }: Observed): readonly string[] => {
  const own = key.slice(0, key.indexOf("/"))
  const parents = list(at(value, "spec", "parentRefs")).flatMap((ref) => {
    const name = parentText(ref, own)
    const found = list(at(status, "parents")).find((parent) => parentText(at(parent, "parentRef"), own) === name)
    return [name, ...(found === undefined ? ["  no Gateway of ours: nothing is said of it"] : shortly(found))]
  })
  const variants = entries.filter((entry) => entry.kind === "route" && entry.key.split("@", 1)[0] === `${kind}/${key}`)
  const clusters = new Map(entries.flatMap((entry) => (entry.kind === "cluster" ? [[entry.key, entry.value]] : [])))
  const reached = [...new Set(variants.flatMap((entry) => list(at(entry.value, "attach")).flatMap((attach) => list(at(attach, "hostnames")).map((hostname) => `${text(hostname)} on ${text(at(attach, "listener"))}`))))].sort()
  const planes = new Set(variants.map(({ plane }) => plane))
  const pods = applied.flatMap((pod) => (planes.has(text(at(pod, "plane"))) ? [`${text(at(pod, "plane"))}/${text(at(pod, "pod"))}, ${stateOf(pod)}`] : [])).sort()
  return [
    section("hostnames", [joined(list(at(value, "spec", "hostnames"))) || "those of the listeners"]),
    section("parents", parents),
    section("rules", list(at(value, "spec", "rules")).flatMap((rule, i) => ruleLines(kind, rule, i, own, clusters))),
    section("reached as", reached.length === 0 ? ["nothing: no listener serves it"] : reached),
    section("served by", planes.size === 0 ? [] : pods.length === 0 ? ["no gateway pod"] : pods),
  ]
}

/** `Exact shop.v1.Cart/Get`; `*`: any. */
const callText = (method: unknown): string => (method === undefined ? "every call" : `${text(at(method, "type"))} ${text(at(method, "service")) || "*"}/${text(at(method, "method")) || "*"}`)

const ruleLines = (kind: string, rule: unknown, i: number, own: string, clusters: ReadonlyMap<string, unknown>): readonly string[] => {
  const matches = list(at(rule, "matches")).map((match) => {
    const named = (name: string) => list(at(match, name)).map((each) => `${text(at(each, "name"))}=${text(at(each, "value"))}`).join(" ")
    if (kind === "grpcroute") return [callText(at(match, "method")), named("headers") && `headers ${named("headers")}`].filter((part) => part !== "").join(" ")
    return [text(at(match, "method")), `${text(at(match, "path", "type"))} ${text(at(match, "path", "value"))}`, named("headers") && `headers ${named("headers")}`, named("queryParams") && `query ${named("queryParams")}`].filter((part) => part !== "").join(" ")
  })
  const filters = list(at(rule, "filters")).map((filter) => text(at(filter, "type")))
  const backends = list(at(rule, "backendRefs")).map((ref) => {
    const namespace = text(at(ref, "namespace")) || own
    const cluster = clusters.get(`service/${namespace}/${text(at(ref, "name"))}/${text(at(ref, "port"))}${kind === "grpcroute" ? "/h2c" : ""}`)
    const endpoints = list(at(cluster, "endpoints"))
    const ready = cluster === undefined ? "not asked for" : endpoints.length > 0 ? `${endpoints.length} ready: ${endpoints.slice(0, 3).map((endpoint) => `${text(at(endpoint, "address"))}:${text(at(endpoint, "port"))}`).join(" ")}${endpoints.length > 3 ? " …" : ""}` : text(at(cluster, "empty"))
    return `  to ${at(ref, "kind") === "Service" ? "" : `${text(at(ref, "kind"))} `}${namespace}/${text(at(ref, "name"))}${at(ref, "port") === undefined ? "" : `:${text(at(ref, "port"))}`}, weight ${text(at(ref, "weight"))}, ${ready}`
  })
  const codes = list(at(rule, "retry", "codes")).map(text)
  const retries = at(rule, "retry") === undefined ? [] : [`${text(at(rule, "retry", "attempts"))} retries${codes.length === 0 ? "" : ` also after ${codes.join(" ")}`}`]
  return [`${i}${at(rule, "name") === undefined ? "" : ` ${text(at(rule, "name"))}`}: ${[matches.join(" or ") || "every call", ...filters, ...retries].join(", ")}`, ...backends]
}

const noteLines = ({ severity, reason, message, field, fix, file, line }: Note): readonly string[] => [
  [`${severity} ${reason}`, file === undefined ? "" : `${file}${line === undefined ? "" : `:${line}`}`, fieldBeside({ field, message })].filter((part) => part !== "").join("  "),
  `  ${printable(message)}`,
  ...(fix === undefined ? [] : [`  ${printable(fix)}`]),
]
