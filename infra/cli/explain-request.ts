/**
 * Why a request goes where it goes: parsed by the gateway's own parser, matched by its own table, compiled from the
 * entries on the bus. Nothing is sent.
 */
import { isIP } from "node:net"
import { domainToASCII } from "node:url"
import type { Certificate, Filter, Listener, Route, Rule, RuleOverlay } from "../../bus/kinds/config.ts"
import { Redacted } from "../../bus/redacted.ts"
import { refusalOf } from "../../gateway/downstream/refusal.ts"
import { verdictOf, type Failure } from "../../gateway/error.ts"
import { isPreflight } from "../../gateway/filters/cors.ts"
import { encodePath } from "../../gateway/filters/path.ts"
import { RequestHead } from "../../gateway/http1/request.ts"
import { defaults } from "../../gateway/settings.ts"
import { TableCompiler } from "../../gateway/table/compile.ts"
import { holds } from "../../gateway/table/conditions.ts"
import { decodeEntry } from "../../gateway/table/entry.ts"
import { look, type Looked } from "../../gateway/table/explain.ts"
import { EntryFault } from "../../gateway/table/fault.ts"
import { overlaid } from "../../gateway/table/overlay.ts"
import { CompiledPort } from "../../gateway/table/port.ts"
import type { CompiledBackend, RequestView, Rewrite, TableRule } from "../../gateway/table/table.ts"
import { NameIndex } from "../../gateway/tls/names.ts"
import type { Entry } from "./explain-read.ts"
import { at } from "./field.ts"
import type { Ack } from "./wait-gateways.ts"

export interface Question {
  readonly method: string
  readonly scheme: "http" | "https"
  /** As in a Host header, without port: of the URL, or of such a header where one is given. */
  readonly host: string
  /** Of the URL: what a TLS client names. */
  readonly serverName: string
  readonly port: number
  /** Path and query, as they would be sent. */
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** `<namespace>/<name>`: only this Gateway's listeners. */
  readonly gateway: string | undefined
}

/** What is sent to one of the backends, or answered in its place. */
export interface Share {
  /** 0 to 1. */
  readonly share: number
  readonly cluster: string | undefined
  readonly endpoints: readonly string[]
  /** Why there are none. */
  readonly empty: string | undefined
  /** Answered here; undefined: by the backend. */
  readonly status: number | undefined
  readonly location: string | undefined
  /** Of the request as the backend gets it, where a filter changes it. */
  readonly upstream: { readonly host: string | undefined; readonly path: string | undefined }
  readonly filters: readonly Filter[]
}

export interface ExplainedRequest {
  readonly plane: string
  /** `<address or *>:<port of the specification>` */
  readonly port: string
  readonly protocol: string
  readonly looked: Looked
  readonly listener: Listener | undefined
  /** With https: what is presented for the name, in the listener's order; empty: nothing, the handshake fails. */
  readonly certificates: readonly { readonly id: string; readonly value: Certificate }[]
  readonly route: { readonly id: string; readonly value: Route; readonly rule: Rule; readonly ruleIndex: number; readonly matchIndex: number } | undefined
  /** Of the rule's overlays those that act on this request, in order. */
  readonly overlays: readonly { readonly index: number; readonly overlay: RuleOverlay }[]
  /** Ids of overlay entries that target the route or its Gateway: what of them is for every request is part of the rule. */
  readonly merged: readonly string[]
  /** Answered by the gateway whatever the backend; undefined: by one of `shares`. */
  readonly answer: { readonly status: number; readonly why: string; readonly location?: string; readonly body?: string } | undefined
  readonly shares: readonly Share[]
}

/** What cannot be asked; a sentence. */
export class QuestionError extends Error {
  override readonly name = "QuestionError"
}

/** `GET http://shop.example:8080/cart?x=1`. The path is taken as it is typed; what no request line can hold is encoded. Throws QuestionError. */
export const questionOf = (method: string, url: string, headers: readonly string[], gateway: string | undefined): Question => {
  const found = /^(https?):\/\/(\[[^\]]*\]|[^/?#:@[\]]*)(?::(\d{1,5}))?([/?][^#]*)?(?:#.*)?$/i.exec(url)
  const [, scheme = "", named = "", digits, rest = "/"] = found ?? []
  // Clients send names of other alphabets so.
  const host = /[^\x00-\x7f]/.test(named) ? domainToASCII(named) : named
  if (found === null || host === "") throw new QuestionError(`"${url}" is not a URL: write something like http://shop.example/cart`)
  const port = digits === undefined ? (scheme.toLowerCase() === "https" ? 443 : 80) : Number(digits)
  const mark = rest.indexOf("?")
  const path = mark < 0 ? rest : rest.slice(0, mark)
  const query = mark < 0 ? "" : rest.slice(mark).replace(/[^\x21-\x7e]/gu, (unit) => encodeURIComponent(unit.toWellFormed()))
  const pairs = headers.map((header) => {
    const colon = header.indexOf(":")
    if (colon <= 0) throw new QuestionError(`"${header}" is not a header: write NAME: VALUE`)
    return [header.slice(0, colon).trim(), header.slice(colon + 1).trim()] as const
  })
  const asked = pairs.find(([name]) => name.toLowerCase() === "host")?.[1].replace(/:\d{1,5}$/, "")
  return {
    method: method.toUpperCase(), scheme: scheme.toLowerCase() === "https" ? "https" : "http", host: asked ?? host, serverName: host, port,
    target: encodePath(path === "" ? "/" : path) + query, headers: pairs.filter(([name]) => name.toLowerCase() !== "host"), gateway,
  }
}

/** A data plane's entries and its pods. */
export interface PlaneNow {
  readonly plane: string
  readonly entries: readonly Entry[]
  readonly acks: readonly Ack[]
}

/** One for each socket of the data plane that the request could arrive at; none: nothing listens there. Entries a gateway would park are left out, as it does. */
export const explainRequest = ({ plane, entries, acks }: PlaneNow, question: Question): readonly ExplainedRequest[] => {
  const values = valuesOf(entries)
  const compiler = new TableCompiler({ endpointOf: (address, port) => ({ address, port }), weighted: () => () => -1 })
  const { ports } = compiler.apply(values)
  const bound = acks.flatMap(({ applied }) => applied.listeners).filter((listener) => listener.port === question.port)
  const isMeant = (port: CompiledPort): boolean => port.port === question.port || (![...ports.values()].some((other) => other.port === question.port) && bound.some(({ specPort }) => specPort === port.port))
  const found: ExplainedRequest[] = []
  for (const [key, port] of ports) {
    if (!(port instanceof CompiledPort) || !isMeant(port)) continue
    const ofGateway = [...port.listeners.entries()].some(([, { id }]) => id.startsWith(`${question.gateway}/`))
    if (question.gateway === undefined || ofGateway) found.push(explainAt(plane, key, port, question, values))
  }
  return found
}

type Values = ReturnType<typeof valuesOf>

const valuesOf = (entries: readonly Entry[]) => {
  const listeners = new Map<string, Listener>()
  const routes = new Map<string, Route>()
  const clusters = new Map<string, Extract<ReturnType<typeof decodeEntry>, { section: "cluster" }>["value"]>()
  const certificates = new Map<string, Certificate>()
  for (const { section, id, body } of entries) {
    if (body === undefined || (section !== "listener" && section !== "route" && section !== "cluster" && section !== "certificate")) continue
    try {
      const entry = decodeEntry(section, id, body)
      if (entry.section === "listener") listeners.set(id, entry.value)
      else if (entry.section === "route") routes.set(id, entry.value)
      else if (entry.section === "cluster") clusters.set(id, entry.value)
      else if (entry.section === "certificate") certificates.set(id, entry.value)
    } catch (error) {
      if (!(error instanceof EntryFault)) throw error
    }
  }
  return { listeners, routes, clusters, certificates, overlays: entries.filter(({ section, body }) => section === "overlay" && body !== undefined) }
}

const explainAt = (plane: string, key: string, port: CompiledPort, question: Question, values: Values): ExplainedRequest => {
  const head = new RequestHead()
  const text = `${question.method} ${question.target} HTTP/1.1\r\nHost: ${question.host}\r\n${question.headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`
  const buffer = Buffer.from(text)
  const isRead = head.parse(buffer, 0, buffer.length, defaults) > 0
  const looked = isRead ? look(port, head) : { listeners: [], hosts: [], candidates: [], rule: null }
  const certificates = isRead && question.scheme === "https" ? presented(port, head, question.serverName, values) : []
  const listener = values.listeners.get(servingIn(looked) ?? "")
  const placed: ExplainedRequest = { plane, port: `${key.slice(0, key.lastIndexOf(":"))}:${port.port}`, protocol: port.protocol, looked, listener, certificates, overlays: [], merged: [], shares: [], route: undefined, answer: undefined }
  const answer = isRead ? beforeRoutes(port, head, question, certificates.length > 0) : ofFailure({ side: "downstream", reason: head.fault ?? "request-line" })
  if (answer !== undefined) return { ...placed, answer }
  const winner = looked.candidates.find(({ verdict }) => verdict.is === "wins")?.candidate
  const value = winner && values.routes.get(winner.rule.route)
  const rule = winner && value?.rules[winner.ruleIndex]
  if (winner === undefined || value === undefined || rule === undefined) return { ...placed, answer: ofFailure({ side: "route", reason: "no-route" }) }
  const overlays = overlaysOn(rule, winner.rule, head)
  return { ...placed, overlays, merged: mergedInto(value, listener, values), route: { id: winner.rule.route, value, rule, ruleIndex: winner.ruleIndex, matchIndex: winner.matchIndex }, ...answerOf(rule, winner.rule, overlays.map(({ overlay }) => overlay), { head, port: port.port, scheme: question.scheme, values }) }
}

const servingIn = ({ listeners }: Looked): string | undefined => listeners.find(({ verdict }) => verdict === "serves")?.id

const ofFailure = (failure: Failure): NonNullable<ExplainedRequest["answer"]> => {
  const { status, text } = verdictOf(failure)
  return { status, why: text }
}

/** What is answered whatever the routes say; status 0: nothing is. */
const beforeRoutes = (port: CompiledPort, head: RequestHead, { scheme, serverName }: Question, isPresenting: boolean): ExplainedRequest["answer"] => {
  if (port.protocol !== scheme.toUpperCase()) return { status: 0, why: `the port speaks ${port.protocol}, the URL says ${scheme}` }
  if (scheme === "https" && port.presenter(sniOf(serverName)) === null) return { status: 0, why: `no listener is for ${sniOf(serverName) === "" ? "a client that names no server" : serverName}: the handshake fails (unrecognized_name)` }
  if (scheme === "https" && !isPresenting) return { status: 0, why: "there is no certificate to present: the handshake fails" }
  const refusal = refusalOf(head, { scheme, trustedHops: defaults.trustedHops }, defaults)
  if (refusal !== null) return ofFailure({ side: "downstream", reason: refusal })
  if (head.method === "OPTIONS" && head.maxForwards === 0) return { status: 200, why: "OPTIONS with Max-Forwards: 0 is about the gateway itself" }
  return scheme === "https" && port.isMisdirected(serverName.toLowerCase(), head.host) ? ofFailure({ side: "downstream", reason: "misdirected" }) : undefined
}

const mergedInto = ({ source }: Route, listener: Listener | undefined, { overlays }: Values): readonly string[] => {
  const targets = new Set([nameOf(source), nameOf({ kind: "Gateway", ...listener?.gateway })])
  return overlays.flatMap(({ id, body = "" }) => {
    const value: unknown = JSON.parse(body)
    return targets.has(nameOf(at(value, "target"))) ? [id] : []
  }).sort()
}

const nameOf = (object: unknown): string => JSON.stringify([at(object, "kind"), at(object, "namespace"), at(object, "name")])

const overlaysOn = (rule: Rule, { overlays }: TableRule, head: RequestHead): ExplainedRequest["overlays"] =>
  (rule.overlays ?? []).flatMap((overlay, index) => {
    const conditions = overlays?.[index]?.conditions ?? null
    return conditions === null || holds(conditions, head) ? [{ index, overlay }] : []
  })

/** What a request is answered with. */
interface Asking {
  readonly head: RequestHead
  readonly port: number
  readonly scheme: string
  readonly values: Values
}

/** In the order of gateway/proxy.ts. */
const answerOf = (rule: Rule, matched: TableRule, overlays: readonly RuleOverlay[], asking: Asking): Pick<ExplainedRequest, "answer" | "shares"> => {
  const compiled = matched.overlays === null ? matched : overlaid(matched, matched.overlays, asking.head)
  if (compiled.cors !== null && isPreflight(asking.head)) return { answer: { status: compiled.cors.preflight(asking.head).status, why: "a CORS filter answers preflights" }, shares: [] }
  if (compiled.answer !== null) {
    const { status, body } = compiled.answer
    return { answer: { status, why: overlays.some((overlay) => overlay.answer !== undefined) ? "an overlay answers" : "the rule answers by itself", ...(body === "" ? {} : { body }) }, shares: [] }
  }
  if (compiled.redirect !== null) return { answer: { ...compiled.redirect(asking.head, asking.scheme, asking.port), why: "a filter redirects" }, shares: [] }
  const weights = overlays.findLast((overlay) => overlay.weights !== undefined)?.weights ?? rule.backends.map(({ weight }) => weight)
  const sum = weights.reduce((total, weight) => total + weight, 0)
  const shares = rule.backends.flatMap((backend, i): Share[] => {
    const made = (weights[i] ?? 0) > 0 ? matched.pickBy(() => i) : null
    return made === null ? [] : [shareOf(made, (weights[i] ?? 0) / sum, backend.filters, compiled.rewrite?.(asking.head), asking)]
  })
  if (shares.length > 0) return { answer: undefined, shares }
  const none = ofFailure({ side: "route", reason: "no-backend" })
  return { answer: rule.backends.length === 0 ? none : { ...none, why: "every weight is 0" }, shares }
}

const shareOf = (made: CompiledBackend, share: number, filters: readonly Filter[], general: ReturnType<Rewrite> | undefined, { head, port, scheme, values }: Asking): Share => {
  const own = made.rewrite?.(head)
  const base = { share, cluster: made.cluster?.id, endpoints: [], empty: undefined, location: undefined, filters, upstream: { host: own?.host ?? general?.host, path: own?.path ?? general?.path } }
  if (made.cors !== null && isPreflight(head)) return { ...base, status: made.cors.preflight(head).status }
  if (made.redirect !== null) return { ...base, ...made.redirect(head, scheme, port) }
  if (made.cluster === null) return { ...base, status: made.answer?.status ?? 500 }
  const cluster = values.clusters.get(made.cluster.id)
  const endpoints = made.cluster.endpoints.map(({ address, port: at }) => `${address.includes(":") ? `[${address}]` : address}:${at}`)
  if (endpoints.length > 0) return { ...base, endpoints, status: undefined }
  return { ...base, status: made.cluster.emptyStatus, empty: cluster === undefined ? "NoSuchEntry" : (cluster.empty ?? "NoReadyEndpoints") }
}

/** The same request for another host. */
const named = (head: RequestHead, host: string): RequestView => ({ method: head.method, host: host.toLowerCase(), path: head.path, query: head.query, header: (name) => head.header(name) })

/** A client that dials an address names no server (RFC 6066 §3). */
const sniOf = (serverName: string): string => (isIP(serverName.replace(/^\[|\]$/g, "")) === 0 ? serverName.toLowerCase() : "")

/** As gateway/tls chooses: by the gateway's own index, of the listener that takes the name. */
const presented = (port: CompiledPort, head: RequestHead, serverName: string, { listeners, certificates }: Values): ExplainedRequest["certificates"] => {
  const name = sniOf(serverName)
  const listener = listeners.get(servingIn(look(port, named(head, name))) ?? "")
  const usable = (listener?.tls?.certificates ?? []).flatMap((id) => {
    const value = certificates.get(id)
    return value?.chain === undefined ? [] : [{ id, value, open: { id, names: value.names, keyType: value.keyType ?? "", chain: "", key: new Redacted(Buffer.alloc(0)) } }]
  })
  const together = new NameIndex(usable.map(({ open }) => open)).find(name) ?? []
  return usable.flatMap(({ id, value, open }) => (together.includes(open) ? [{ id, value }] : []))
}
