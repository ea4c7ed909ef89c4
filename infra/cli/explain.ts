/** `headgate explain <object | entry | METHOD? URL>`: what became of an edit, what an entry comes from, where a request goes. */
import type { Bus } from "../../bus/bus.ts"
import { CONTROL_PLANE, kinds as configKinds } from "../../bus/kinds/config.ts"
import { exit, failure } from "./command.ts"
import { type ExplainedEntry, type ExplainedObject, type TextOf, entryIds, explainEntry, explainObject } from "./explain-object.ts"
import { readAcks, readConfig } from "./explain-read.ts"
import { type ExplainedRequest, explainRequest, type Question, questionOf, QuestionError } from "./explain-request.ts"
import { reasonOf, requestText } from "./explain-request-text.ts"
import { entryText, objectText, shownValue } from "./explain-text.ts"
import { closeTo, nameText, objectNames } from "./object-name.ts"
import { closeObjects } from "./close-objects.ts"

export interface ExplainOptions {
  /** As given on the command line. */
  readonly words: readonly string[]
  readonly namespace: string | undefined
  readonly headers: readonly string[]
  readonly gateway: string | undefined
  readonly output: "text" | "json"
  /** For the places of notes. */
  readonly textOf: TextOf
}

const isUrl = (word: string): boolean => /^https?:\/\//i.test(word)

/** What to print. Rejects with CommandFailed: status 2 for what cannot be understood, 3 for what does not exist. */
export const explain = async (bus: Bus, options: ExplainOptions): Promise<string> => {
  const { words, headers, gateway, namespace } = options
  const url = words.find(isUrl)
  if (url !== undefined) return explainUrl(bus, understood(() => questionOf(words.find((word) => word !== url) ?? "GET", url, headers, qualified(gateway))), options)
  const [first = ""] = words
  const slash = first.indexOf("/")
  const sectionName = singular(slash < 0 ? first : first.slice(0, slash))
  if (sectionName !== undefined) {
    const id = slash < 0 ? words[1] : first.slice(slash + 1)
    if (id === undefined || id === "") throw failure(`which ${sectionName}? Write ${sectionName} ID, for example: ${(await entryIds(bus, sectionName)).slice(0, 3).join(", ")}`, 2)
    return explainEntries(bus, sectionName, id, options)
  }
  const [object, ...more] = understood(() => objectNames(words, namespace))
  if (object === undefined) throw failure("what? Write an object (httproute/web), an entry (route httproute/default/web), or a URL", 2)
  if (more.length > 0) throw failure("one at a time", 2)
  const explained = await explainObject(bus, object, options.textOf)
  if (explained === undefined) throw failure(`there is no ${nameText(object)}${like(await closeObjects(bus, object))}`, exit.notFound)
  return options.output === "json" ? json(objectJson(explained)) : objectText(explained)
}

const qualified = (gateway: string | undefined): string | undefined => (gateway === undefined || gateway.includes("/") ? gateway : `default/${gateway}`)

const understood = <A>(read: () => A): A => {
  try {
    return read()
  } catch (error) {
    if (error instanceof QuestionError || (error instanceof Error && error.name === "NameError")) throw failure(error.message, 2)
    throw error
  }
}

const like = (close: readonly string[]): string => (close.length === 0 ? "" : `. Like it: ${close.join(", ")}`)

/** The section of CONFIG that a word names: `route`, `routes`. */
const singular = (word: string): string | undefined => {
  const lower = word.toLowerCase()
  return Object.keys(configKinds).find((name) => name === lower || `${name}s` === lower)
}

const explainEntries = async (bus: Bus, section: string, id: string, { output }: ExplainOptions): Promise<string> => {
  const explained = await explainEntry(bus, section, id)
  if (explained.length === 0) throw failure(`there is no ${section} ${id}${like(closeTo(id, await entryIds(bus, section)))}`, exit.notFound)
  return output === "json" ? json(explained.map(entryJson)) : explained.map(entryText).join("\n")
}

const explainUrl = async (bus: Bus, question: Question, { output }: ExplainOptions): Promise<string> => {
  const [config, acks] = await Promise.all([readConfig(bus), readAcks(bus)])
  const entries = Map.groupBy(config.entries.values(), ({ plane }) => plane)
  const found = [...entries].flatMap(([plane, own]) => {
    if (plane === CONTROL_PLANE) return []
    const pods = acks.filter(({ applied }) => applied.plane === plane)
    const units = [...config.units.values()].filter((unit) => unit.plane === plane)
    return explainRequest({ plane, entries: own, acks: pods }, question).map((explained) => ({ explained, pods, units }))
  })
  // Where several data planes have the port, those that would answer.
  const answering = found.filter(({ explained }) => explained.looked.listeners.some(({ verdict }) => verdict === "serves"))
  const shown = answering.length > 0 ? answering : found
  if (shown.length === 0) {
    const ports = [...config.entries.values()].flatMap(({ section, id, body }) => (section === "listener" && body !== undefined ? [`${portOf(body)} (${id})`] : []))
    throw failure(`no listener${question.gateway === undefined ? "" : ` of gateway ${question.gateway}`} has port ${question.port}${ports.length === 0 ? ": there is no listener at all" : `; there are: ${[...new Set(ports)].slice(0, 8).join(", ")}`}`, exit.notFound)
  }
  if (output === "json") return json(shown.map(({ explained, pods, units }) => requestJson(explained, units, pods)))
  return shown.map(({ explained, pods, units }) => requestText(question, explained, units, pods)).join("\n")
}

const portOf = (body: string): string => {
  const value: unknown = JSON.parse(body)
  return typeof value === "object" && value !== null && "port" in value ? String(value.port) : "?"
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

const editJson = <T extends { readonly body: string }>({ body: _body, ...edit }: T): Omit<T, "body"> => edit

const objectJson = ({ edit, derived, ...explained }: ExplainedObject) => ({
  ...explained,
  ...(edit === undefined ? {} : { edit: editJson(edit) }),
  derived: derived.map(({ commit, entries, ...rest }) => ({ ...rest, version: commit?.version, writer: commit?.writer, commit: commit?.seq, entries: entries.map(({ section, id, body, rev, causes }) => ({ section, id, removed: body === undefined, rev, causes })) })),
})

const entryJson = ({ entry: { body, ...entry }, commit, causes, ...explained }: ExplainedEntry): unknown => {
  const resolved = (all: ExplainedEntry["causes"]): unknown => all.map(({ cause: { is, ...cause }, from }) => ({ ...cause, ...(is.of === "edit" ? { edit: editJson(is.edit) } : is.of === "commit" ? { commit: is.commit } : is.of === "ack" ? { pod: is.pod, time: is.time } : { kept: false }), ...(from.length === 0 ? {} : { from: resolved(from) }) }))
  return { ...explained, entry: { ...entry, ...(body === undefined ? { removed: true } : { value: shownValue(entry.section, body) }) }, commit, causes: resolved(causes) }
}

const requestJson = ({ looked, route, certificates, listener, ...explained }: ExplainedRequest, units: Parameters<typeof requestText>[2], acks: Parameters<typeof requestText>[3]): unknown => ({
  ...explained,
  listeners: looked.listeners,
  hosts: looked.hosts,
  candidates: looked.candidates.map((one) => ({ rule: one.candidate.rule.id, match: one.candidate.matchIndex, host: one.host, ...one.verdict, ...(one.verdict.is === "wins" ? {} : { reason: reasonOf(one) }) })),
  ...(listener === undefined ? {} : { listener: looked.listeners.find(({ verdict }) => verdict === "serves")?.id }),
  ...(route === undefined ? {} : { route: { id: route.id, rule: route.rule.name ?? route.ruleIndex, match: route.matchIndex, filters: route.rule.filters } }),
  certificates: certificates.map(({ id, value: { names, keyType, notBefore, notAfter, fingerprint } }) => ({ id, names, keyType, notBefore, notAfter, fingerprint })),
  units: Object.fromEntries(units.map(({ fn, rev }) => [fn, rev])),
  pods: acks.map(({ applied: { pod, ready, units: has } }) => ({ pod, ready, units: Object.fromEntries(Object.entries(has).map(([fn, { rev }]) => [fn, rev])), current: units.every(({ fn, rev, epoch }) => has[fn] !== undefined && has[fn].rev >= rev && has[fn].epoch >= epoch) })),
})
