/**
 * The chain forward: an object's newest version → what functions derived from it → which gateways serve that; and the
 * chain backward: an entry → its commit, function and version → the edits that made it what it is.
 */
import type { Bus } from "../../bus/bus.ts"
import { CONTROL_PLANE, type Note } from "../../bus/kinds/config.ts"
import { ASK_PROGRESS, progressSubject } from "../../bus/hints.ts"
import { type Progress, readProgress } from "../../functions/progress.ts"
import { type Cause, type CommitAt, commitsOf, type Config, type Edit, editOf, editsOf, type Entry, readAcks, readConfig, resolveCause, stateOf } from "./explain-read.ts"
import { at, jsonIn, list } from "./field.ts"
import type { ObjectName } from "./object-name.ts"
import { placer } from "./placed-notes.ts"
import type { Ack } from "./wait-gateways.ts"

/** What one function derived for one data plane. */
export interface Derived {
  readonly plane: string
  readonly fn: string
  /** Of the newest of these entries. */
  readonly rev: number
  readonly epoch: number
  readonly time: number
  /** Undefined: no longer kept. */
  readonly commit: CommitAt | undefined
  readonly entries: readonly Entry[]
}

export interface Served {
  readonly pod: string
  readonly ready: boolean
  /** When it said so, ms. */
  readonly time: number
  /** What it lacks; empty: it serves all of this. */
  readonly lacks: readonly { readonly fn: string; readonly has: number | undefined; readonly wants: number }[]
}

export interface SaidNote {
  /** `routes`, `gateway default/up`, `adapter.files`. */
  readonly by: string
  readonly note: Omit<Note, "schema">
}

export interface ExplainedObject {
  readonly object: ObjectName
  /** Undefined: none has ever been published, and `notes` say why. */
  readonly edit: Edit | undefined
  /** Versions that are kept, this one included. */
  readonly kept: number
  readonly derived: readonly Derived[]
  /** Functions that read it and have not answered this version yet. */
  readonly unanswered: readonly { readonly fn: string; readonly heard: number | undefined }[]
  /** Nothing reads objects of this kind. */
  readonly isUnread: boolean
  readonly served: readonly Served[]
  readonly notes: readonly SaidNote[]
}

export interface ExplainedEntry {
  readonly entry: Entry
  /** Undefined: no longer kept. */
  readonly commit: CommitAt | undefined
  /** The version of the unit's last commit, where that of the entry's own is not kept. */
  readonly version: string
  readonly causes: readonly ResolvedCause[]
  readonly hasMore: boolean
  readonly served: readonly Served[]
  readonly notes: readonly SaidNote[]
}

export interface ResolvedCause {
  readonly cause: Cause
  /** Of an entry of another process: what that was made from. */
  readonly from: readonly ResolvedCause[]
}

/** Longest chain of functions in different processes that is followed. */
const DEPTH = 4
/** How long functions may take to say how far they are, ms. */
const PATIENCE = 300

/** A file of manifests, undefined where it is not this machine's. */
export type TextOf = (file: string) => string | undefined

/** Undefined: nobody has ever heard of it. */
export const explainObject = async (bus: Bus, object: ObjectName, textOf: TextOf): Promise<ExplainedObject | undefined> => {
  const [edits, config, acks] = await Promise.all([editsOf(bus, object.kind, object.key), readConfig(bus), readAcks(bus)])
  const edit = edits.at(-1)
  const readers = edit === undefined ? [] : readersOf(config, object.kind)
  const [derived, heard] = await Promise.all([derivedFrom(bus, config, object), hearProgress(bus, readers)])
  const notes = placed(await notesOn(bus, config, acks, { object, file: edit?.file ?? "", entries: derived.flatMap(({ entries }) => entries) }), object, edit, textOf)
  if (edit === undefined && notes.length === 0) return undefined
  return {
    object, edit, kept: edits.length, derived, notes,
    unanswered: readers.filter((fn) => (heard.get(fn)?.resources ?? 0) < (edit?.seq ?? 0)).map((fn) => ({ fn, heard: heard.get(fn)?.resources })),
    isUnread: edit !== undefined && readers.length === 0,
    served: servedBy(derived, acks),
  }
}

/** One for each data plane that has such an entry, also of one that was removed. */
export const explainEntry = async (bus: Bus, section: string, id: string): Promise<readonly ExplainedEntry[]> => {
  const [config, acks] = await Promise.all([readConfig(bus), readAcks(bus)])
  const found = [...config.entries.values()].filter((entry) => entry.section === section && (entry.id === id || `${entry.plane}/${entry.id}` === id || entry.id.startsWith(`${id}@`)))
  return Promise.all(found.map(async (entry) => {
    const { plane, fn, rev, epoch, time } = entry
    const commit = (await commitsOf(bus, plane, fn)).find((one) => one.rev === rev && one.epoch === epoch)
    const causes = await Promise.all(entry.causes.map((text) => resolve(bus, config, text, DEPTH)))
    const source = at(jsonIn(entry.body), "source")
    const object = { kind: textAt(source, "kind").toLowerCase(), key: `${textAt(source, "namespace")}/${textAt(source, "name")}` }
    return {
      entry, commit, version: commit?.version ?? config.units.get(`${plane}/${fn}`)?.version ?? "",
      causes: causes.filter((cause) => cause !== undefined), hasMore: entry.causes.includes("…") || entry.causes.includes("?"),
      served: servedBy([{ plane, fn, rev, epoch, time, commit, entries: [entry] }], acks),
      notes: await notesOn(bus, config, acks, { object, file: "", entries: [entry] }),
    }
  }))
}

/** Ids of a section, for who asks for one that is not there. */
export const entryIds = async (bus: Bus, section: string): Promise<readonly string[]> => [...(await readConfig(bus)).entries.values()].filter((entry) => entry.section === section && entry.body !== undefined).map(({ id }) => id)

const resolve = async (bus: Bus, config: Config, text: string, depth: number): Promise<ResolvedCause | undefined> => {
  const cause = await resolveCause(bus, text)
  if (cause === undefined) return undefined
  if (cause.is.of !== "commit" || depth === 0) return { cause, from: [] }
  // Its key is `<plane>/<id>`; what it was made from is known as long as it has not changed since.
  const entry = [...config.entries.values()].find(({ section, plane, id }) => section === cause.kind && `${plane}/${id}` === cause.key)
  const from = entry === undefined || entry.rev > cause.is.commit.rev ? [] : await Promise.all(entry.causes.map((each) => resolve(bus, config, each, depth - 1)))
  return { cause, from: from.filter((each) => each !== undefined) }
}

/** Sections that are about objects rather than for gateways. */
const ASIDE: ReadonlySet<string> = new Set(["note", "status", "function"])

const derivedFrom = async (bus: Bus, { entries }: Config, { kind, key }: ObjectName): Promise<readonly Derived[]> => {
  const names = new Set([`${kind}/${key}`])
  const found = new Set<Entry>()
  // Where functions run in several processes, an entry names the entry before it and not the object.
  for (let before = -1; before !== found.size;) {
    before = found.size
    for (const entry of entries.values()) {
      if (ASIDE.has(entry.section) || found.has(entry) || !entry.causes.some((cause) => names.has(cause.slice(0, cause.lastIndexOf("@"))))) continue
      found.add(entry)
      names.add(`${entry.section}/${entry.plane}/${entry.id}`)
    }
  }
  /** The first cause is what an entry was mapped from: who does that with the object is named first. */
  const isMapped = ({ entries: made }: Derived): boolean => made.some(({ causes: [first = ""] }) => first.startsWith(`${kind}/${key}@`))
  const groups = [...Map.groupBy(found, ({ plane, fn }) => JSON.stringify([plane, fn])).values()]
  return Promise.all(groups.map(async (group): Promise<Derived> => {
    const sorted = group.toSorted((a, b) => (a.section === b.section ? (a.id < b.id ? -1 : 1) : a.section < b.section ? -1 : 1))
    const newest = group.reduce((a, b) => (b.rev > a.rev ? b : a))
    const { plane, fn, rev, epoch, time } = newest
    const commit = (await commitsOf(bus, plane, fn)).find((one) => one.rev === rev && one.epoch === epoch)
    return { plane, fn, rev, epoch, time: commit?.time ?? time, commit, entries: sorted }
  })).then((all) => all.sort((a, b) => compare(a.plane, b.plane) || Number(isMapped(b)) - Number(isMapped(a)) || compare(a.fn, b.fn)))
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const servedBy = (derived: readonly Derived[], acks: readonly Ack[]): readonly Served[] => {
  const byPlane = Map.groupBy(derived.filter(({ plane }) => plane !== CONTROL_PLANE), ({ plane }) => plane)
  return acks.flatMap(({ applied, time }): Served[] => {
    const wanted = byPlane.get(applied.plane)
    if (wanted === undefined) return []
    const lacks = wanted.flatMap(({ fn, rev, epoch }) => {
      const has = applied.units[fn]
      return has !== undefined && has.rev >= rev && has.epoch >= epoch ? [] : [{ fn, has: has?.rev, wants: rev }]
    })
    return [{ pod: `${applied.plane}/${applied.pod}`, ready: applied.ready, time, lacks }]
  })
}

/** "" for what is no text. */
const textAt = (value: unknown, ...path: readonly string[]): string => {
  const found = at(value, ...path)
  return typeof found === "string" ? found : ""
}

/** Functions that say they read a kind. */
const readersOf = ({ entries }: Config, kind: string): readonly string[] =>
  [...entries.values()].filter(({ section, body }) => section === "function" && list(at(jsonIn(body), "reads")).includes(kind)).map(({ id }) => id).sort()

const hearProgress = (bus: Bus, functions: readonly string[]): Promise<ReadonlyMap<string, Progress>> => {
  const heard = new Map<string, Progress>()
  const missing = new Set(functions)
  if (missing.size === 0) return Promise.resolve(heard)
  return new Promise((resolved) => {
    const off = bus.onHint(progressSubject(">"), (_subject, data) => {
      const progress = readProgress(data)
      if (progress === undefined) return
      heard.set(progress.function, progress)
      missing.delete(progress.function)
      if (missing.size === 0) end()
    })
    const timer = setTimeout(() => end(), PATIENCE)
    const end = (): void => {
      clearTimeout(timer)
      off()
      resolved(heard)
    }
    bus.hint(ASK_PROGRESS, "")
  })
}

const isNote = (value: unknown): value is Note => {
  const texts = ["severity", "reason", "message"].map((field) => at(value, field))
  return texts.every((text) => typeof text === "string")
}

const isAbout = (note: unknown, { kind, key }: ObjectName): boolean =>
  textAt(note, "about", "kind").toLowerCase() === kind && `${textAt(note, "about", "namespace")}/${textAt(note, "about", "name")}` === key

/** What notes may be about. */
interface Subject {
  readonly object: ObjectName
  /** It came from; "": that is not known. Of a file that cannot be read as a whole nobody knows what it holds. */
  readonly file: string
  /** Gateways name entries, and no objects. */
  readonly entries: readonly Entry[]
}

/** What anybody has to say. */
const notesOn = async (bus: Bus, { entries }: Config, acks: readonly Ack[], { object, file, entries: own }: Subject): Promise<readonly SaidNote[]> => {
  const said: SaidNote[] = []
  const take = (by: string, value: unknown, isMeant: (note: Note) => boolean): void => {
    if (isNote(value) && isMeant(value)) said.push({ by, note: value })
  }
  const isOfFile = (note: Note): boolean => file !== "" && note.about === undefined && note.file === file && note.severity === "error"
  for (const message of await stateOf(bus, "RESOURCES", "resource.note.>")) {
    const found = editOf(message)
    if (found !== undefined && !found.isDeleted) take(`adapter ${found.key.slice(0, found.key.indexOf("/"))}`, jsonIn(found.body), (note) => isAbout(note, object) || isOfFile(note))
  }
  for (const { section, fn, body } of entries.values()) if (section === "note" && body !== undefined) take(`function ${fn}`, jsonIn(body), (note) => isAbout(note, object))
  const ids = new Set(own.map(({ id }) => id))
  const namesOne = ({ message }: Note): boolean => message.split(/[\s,:;]+|\.$/).some((word) => ids.has(word))
  for (const { applied } of acks) for (const note of applied.notes) take(`gateway ${applied.plane}/${applied.pod}`, { schema: 1, ...note }, (one) => isAbout(one, object) || (one.about === undefined && namesOne(one)))
  return said
}

/** With their places in the object's file, where that is on this machine. */
const placed = (said: readonly SaidNote[], { kind, key }: ObjectName, edit: Edit | undefined, textOf: TextOf): readonly SaidNote[] => {
  if (edit === undefined || edit.isDeleted) return said
  const place = placer([{ kind, key, value: jsonIn(edit.body), file: edit.file }], textOf)
  return said.flatMap(({ by, note }) => place({ schema: 1, ...note }).map((one) => ({ by, note: one })))
}
