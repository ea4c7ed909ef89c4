/**
 * Entries as they arrive: JSON of section and body, checked in place. The gateway cannot load bus/kinds (Effect), so
 * the shapes of bus/kinds/config.ts are checked here by hand; entry.test.ts holds both to the same verdicts.
 *
 * A field this version does not know is ignored: within one `schema` fields are only ever added. A value it does not
 * know (a new filter type, a newer `schema`) is a fault, because guessing would route wrongly. Only a cluster of an
 * unknown protocol is one that answers 500 (Gateway API, BackendRef): parked, it would be waited for and answer 503.
 */
import type { Answer, Backend, Certificate, Cluster, Filter, Listener, Match, Plan, Route, Rule } from "../../bus/kinds/config.ts"
import { EntryFault, within } from "./fault.ts"

/** Sections of a data plane that concern a gateway. */
export type Entry =
  | { readonly section: "listener"; readonly id: string; readonly value: Listener }
  | { readonly section: "route"; readonly id: string; readonly value: Route }
  /** `unspoken`: its protocol, when this gateway does not speak it; then nothing is left but to answer 500. */
  | { readonly section: "cluster"; readonly id: string; readonly value: Cluster; readonly unspoken?: string }
  | { readonly section: "certificate"; readonly id: string; readonly value: Certificate }
  | { readonly section: "plan"; readonly id: string; readonly value: Plan }

export type Section = Entry["section"]

/** Sections that functions read and gateways do not. */
const FOR_OTHERS: ReadonlySet<string> = new Set(["demand", "desired", "overlay", "note", "status", "wanted"])

export const sectionOf = (section: string): Section | "for-others" | "unknown" => {
  switch (section) {
    case "listener":
    case "route":
    case "cluster":
    case "certificate":
    case "plan":
      return section
    default:
      return FOR_OTHERS.has(section) ? "for-others" : "unknown"
  }
}

/** Throws EntryFault: NewerSchema, or Malformed with the field. */
export const decodeEntry = (section: Section, id: string, body: string): Entry => {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch (error) {
    throw malformed("", `not JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (!isRecord(value)) throw malformed("", "not an object")
  if (typeof value["schema"] === "number" && value["schema"] > 1) throw new EntryFault("NewerSchema", "schema", `${section} ${id} has schema ${value["schema"]}; this gateway knows 1`)
  if (value["schema"] !== 1) throw malformed("schema", "is not 1")
  switch (section) {
    case "listener":
      if (isListener(value)) return { section, id, value }
      break
    case "route":
      if (isRoute(value)) return { section, id, value }
      break
    case "cluster": {
      const protocol = text(value, "protocol")
      if (protocol !== "http" && protocol !== "h2c") {
        const unspoken = { ...value, protocol: "http", endpoints: [], empty: "UnsupportedProtocol" }
        if (isCluster(unspoken)) return { section, id, value: unspoken, unspoken: protocol }
      } else if (isCluster(value)) return { section, id, value }
      break
    }
    case "certificate":
      if (isCertificate(value)) return { section, id, value }
      break
    case "plan":
      if (isPlan(value)) return { section, id, value }
      break
  }
  throw malformed("", "not an entry")
}

/** Cluster ids a route names, each once. */
export const clustersNamed = (route: Route): readonly string[] => {
  const [rule] = route.rules
  const [only] = rule?.backends ?? []
  if (only !== undefined && route.rules.length === 1 && rule?.backends.length === 1 && rule.filters.length === 0 && only.filters.length === 0 && rule.overlays === undefined) {
    return only.cluster === undefined ? [] : [only.cluster]
  }
  const ids = new Set<string>()
  for (const { backends, filters, overlays = [] } of route.rules) {
    nameMirrors(filters, ids)
    for (const backend of backends) {
      if (backend.cluster !== undefined) ids.add(backend.cluster)
      nameMirrors(backend.filters, ids)
    }
    for (const overlay of overlays) nameMirrors(overlay.filters, ids)
  }
  return [...ids]
}

const nameMirrors = (filters: readonly Filter[], ids: Set<string>): void => {
  for (const filter of filters) if (filter.type === "mirror") ids.add(filter.cluster)
}

/** Certificate ids a listener names, each once. */
export const certificatesNamed = ({ tls }: Listener): readonly string[] => (tls === undefined ? [] : [...new Set(tls.certificates)])

type Loose = Record<string, unknown>

const malformed = (field: string, message: string): EntryFault => new EntryFault("Malformed", field, field === "" ? message : `${field} ${message}`)
const isRecord = (value: unknown): value is Loose => typeof value === "object" && value !== null && !Array.isArray(value)

const record = (value: unknown, field: string): Loose => {
  if (!isRecord(value)) throw malformed(field, "is not an object")
  return value
}
const text = (of: Loose, field: string): string => {
  const value = of[field]
  if (typeof value !== "string") throw malformed(field, "is not a string")
  return value
}
const optionalText = (of: Loose, field: string): void => {
  if (of[field] !== undefined) text(of, field)
}
const isNumber = (value: unknown, field: string, low: number, high: number): void => {
  if (typeof value !== "number" || !(value >= low && value <= high)) throw malformed(field, `is not a number from ${low} to ${high}`)
}
const number = (of: Loose, field: string, low: number, high: number): void => isNumber(of[field], field, low, high)
/** Ports and statuses: net throws on a port that is none, and a request must not be what finds out. */
const whole = (of: Loose, field: string, low: number, high: number): void => {
  number(of, field, low, high)
  if (!Number.isInteger(of[field])) throw malformed(field, "is not a whole number")
}
const optionalNumber = (of: Loose, field: string, low: number, high: number): void => {
  if (of[field] !== undefined) number(of, field, low, high)
}
const oneOf = (of: Loose, field: string, allowed: readonly unknown[]): void => {
  if (!allowed.includes(of[field])) throw malformed(field, `is none of ${allowed.join(", ")}`)
}
const each = (of: Loose, field: string, check: (item: unknown) => void): void => {
  const items = of[field]
  if (!Array.isArray(items)) throw malformed(field, "is not a list")
  let i = 0
  try {
    for (; i < items.length; i++) check(items[i])
  } catch (error) {
    throw within(`${field}[${i}]`, error)
  }
}
const inside = (of: Loose, field: string, check: (value: unknown) => void): void => {
  try {
    check(of[field])
  } catch (error) {
    throw within(field, error)
  }
}
const isText = (item: unknown): void => {
  if (typeof item !== "string") throw malformed("", "is not a string")
}

/** RFC 9110 §5.6.2 token. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** RFC 3986 §3.1. */
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/
/** RFC 9110 §5.5 field value without obs-text: what would end the line or the message is refused here, once. */
const FIELD_VALUE = /^[\t\x20-\x7e]*$/

const ORIGIN = /^(\*|https?:\/\/(\*|(\*\.)?([a-z0-9-]+\.)*[a-z0-9-]+)(:[0-9]{1,5})?)$/

const isOrigin = (item: unknown): void => {
  if (typeof item !== "string" || !ORIGIN.test(item)) throw malformed("", "is not an origin")
}
const isFieldName = (item: unknown): void => {
  if (typeof item !== "string" || !TOKEN.test(item)) throw malformed("", "is not a header name")
}
const isField = (item: unknown): void => {
  if (!Array.isArray(item) || item.length !== 2) throw malformed("", "is not a pair of name and value")
  isFieldName(item[0])
  if (typeof item[1] !== "string" || !FIELD_VALUE.test(item[1])) throw malformed("", "is not a header value")
}

const isSource = (value: unknown): void => {
  const source = record(value, "")
  text(source, "kind")
  text(source, "namespace")
  text(source, "name")
}

function isListener(value: unknown): value is Listener {
  const listener = record(value, "")
  inside(listener, "gateway", (of) => {
    const gateway = record(of, "")
    text(gateway, "namespace")
    text(gateway, "name")
  })
  text(listener, "name")
  oneOf(listener, "protocol", ["HTTP", "HTTPS"])
  whole(listener, "port", 1, 65535)
  if (listener["bindPort"] !== undefined) whole(listener, "bindPort", 1, 65535)
  optionalText(listener, "hostname")
  each(listener, "addresses", isText)
  text(listener, "created")
  optionalNumber(listener, "generation", -Number.MAX_VALUE, Number.MAX_VALUE)
  if (listener["tls"] !== undefined) inside(listener, "tls", (of) => each(record(of, ""), "certificates", isText))
  else if (listener["protocol"] === "HTTPS") throw malformed("tls", "is not there: HTTPS needs it")
  return true
}

function isCertificate(value: unknown): value is Certificate {
  const certificate = record(value, "")
  inside(certificate, "source", isSource)
  each(certificate, "names", isText)
  for (const field of ["chain", "key", "keyType", "notBefore", "notAfter", "fingerprint", "empty"]) optionalText(certificate, field)
  if (certificate["empty"] === undefined) for (const field of ["chain", "key"]) text(certificate, field)
  return true
}

function isPlan(value: unknown): value is Plan {
  each(record(value, ""), "functions", isText)
  return true
}

const isEndpoint = (item: unknown): void => {
  const endpoint = record(item, "")
  text(endpoint, "address")
  whole(endpoint, "port", 1, 65535)
}

function isCluster(value: unknown): value is Cluster {
  const cluster = record(value, "")
  inside(cluster, "source", isSource)
  oneOf(cluster, "protocol", ["http", "h2c"])
  each(cluster, "endpoints", isEndpoint)
  optionalText(cluster, "empty")
  return true
}

function isRoute(value: unknown): value is Route {
  const route = record(value, "")
  inside(route, "source", isSource)
  text(route, "created")
  number(route, "priority", -Number.MAX_VALUE, Number.MAX_VALUE)
  each(route, "attach", isAttachment)
  each(route, "rules", isRule)
  return true
}

const isAttachment = (item: unknown): void => {
  const attachment = record(item, "")
  text(attachment, "listener")
  each(attachment, "hostnames", isText)
  if (attachment["own"] !== undefined) each(attachment, "own", isText)
}

function isRule(value: unknown): value is Rule {
  const rule = record(value, "")
  optionalText(rule, "name")
  if (rule["grpc"] !== undefined) oneOf(rule, "grpc", [true])
  each(rule, "matches", isMatch)
  each(rule, "filters", isFilter)
  each(rule, "backends", isBackend)
  if (rule["answer"] !== undefined) inside(rule, "answer", isAnswer)
  if (rule["timeouts"] !== undefined) {
    inside(rule, "timeouts", (of) => {
      const timeouts = record(of, "")
      optionalNumber(timeouts, "request", 0, 2 ** 31)
      optionalNumber(timeouts, "backend", 0, 2 ** 31)
    })
  }
  if (rule["retry"] !== undefined) {
    inside(rule, "retry", (of) => {
      const retry = record(of, "")
      each(retry, "codes", isRetryCode)
      whole(retry, "attempts", 0, 2 ** 31 - 1)
      optionalNumber(retry, "backoff", 0, 2 ** 31 - 1)
    })
  }
  if (rule["overlays"] !== undefined) each(rule, "overlays", (item) => isRuleOverlay(item, rule["backends"]))
  return true
}

const isRetryCode = (code: unknown): void => {
  isNumber(code, "", 400, 599)
  if (!Number.isInteger(code)) throw malformed("", "is not a whole number")
}

const isRuleOverlay = (item: unknown, backends: unknown): void => {
  const overlay = record(item, "")
  if (overlay["match"] !== undefined) inside(overlay, "match", isMatch)
  each(overlay, "filters", isFilter)
  if (overlay["answer"] !== undefined) inside(overlay, "answer", isAnswer)
  const { weights } = overlay
  if (weights === undefined) return
  each(overlay, "weights", isWeight)
  if (!Array.isArray(weights) || !Array.isArray(backends) || weights.length !== backends.length) throw malformed("weights", "are not one for each backend")
}

function isMatch(value: unknown): value is Match {
  const match = record(value, "")
  inside(match, "path", (of) => {
    const path = record(of, "")
    oneOf(path, "type", ["exact", "prefix", "regex"])
    if (path["late"] !== undefined) oneOf(path, "late", [true])
    const wanted = text(path, "value")
    if (path["type"] !== "regex" && !wanted.startsWith("/")) throw malformed("value", "does not begin with /")
  })
  optionalText(match, "method")
  each(match, "headers", isStringMatch)
  each(match, "query", isStringMatch)
  return true
}

const isStringMatch = (item: unknown): void => {
  const match = record(item, "")
  text(match, "name")
  oneOf(match, "type", ["exact", "regex"])
  text(match, "value")
}

const isWeight = (value: unknown): void => isNumber(value, "", 0, 1_000_000)

function isBackend(value: unknown): value is Backend {
  const backend = record(value, "")
  inside(backend, "weight", isWeight)
  optionalText(backend, "cluster")
  if (backend["answer"] !== undefined) inside(backend, "answer", isAnswer)
  each(backend, "filters", isFilter)
  return true
}

function isAnswer(value: unknown): value is Answer {
  const answer = record(value, "")
  whole(answer, "status", 200, 599)
  each(answer, "headers", isField)
  text(answer, "body")
  return true
}

const isPathEdit = (value: unknown): void => {
  const edit = record(value, "")
  oneOf(edit, "type", ["full", "prefix"])
  text(edit, "value")
}

function isFilter(value: unknown): value is Filter {
  const filter = record(value, "")
  switch (filter["type"]) {
    case "requestHeaders":
    case "responseHeaders":
      each(filter, "set", isField)
      each(filter, "add", isField)
      each(filter, "remove", isFieldName)
      return true
    case "redirect":
      if (filter["scheme"] !== undefined && !SCHEME.test(text(filter, "scheme"))) throw malformed("scheme", "is not a scheme")
      if (filter["port"] !== undefined) whole(filter, "port", 1, 65535)
      whole(filter, "status", 300, 399)
      break
    case "rewrite":
      break
    case "cors":
      each(filter, "origins", isOrigin)
      for (const list of ["methods", "headers", "exposed"]) each(filter, list, isFieldName)
      oneOf(filter, "credentials", [true, false])
      whole(filter, "maxAge", 0, 2 ** 31 - 1)
      return true
    case "mirror":
      text(filter, "cluster")
      whole(filter, "numerator", 0, 2 ** 31 - 1)
      whole(filter, "denominator", 1, 2 ** 31 - 1)
      return true
    default:
      throw new EntryFault("UnknownFilter", "type", `"${String(filter["type"])}" is no filter this gateway knows`)
  }
  if (filter["hostname"] !== undefined && !/^[A-Za-z0-9._:[\]-]+$/.test(text(filter, "hostname"))) throw malformed("hostname", "is not a host")
  if (filter["path"] !== undefined) inside(filter, "path", isPathEdit)
  return true
}
