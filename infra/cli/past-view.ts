/** Answers about the past, as the commands show them. */
import { Effect } from "effect"
import type { Bus } from "../../bus/bus.ts"
import { decodeHeader, header, numberHeader } from "../../bus/envelope.ts"
import type { CopiedCommit } from "../../bus/history/commits.ts"
import { readLog } from "../../bus/history/read.ts"
import { HistoryError, type Moment, type PastAck, type PastState } from "../../bus/history/state.ts"
import { causeOf } from "../../bus/history/versions.ts"
import { configSubject, encodeToken, parseSubject, resourceSubject } from "../../bus/subject.ts"
import { unitKey } from "../../bus/unit/commit.ts"
import { exit, failure } from "./command.ts"
import { stateOf } from "./explain-read.ts"
import { at, jsonOrText } from "./field.ts"
import { aliases } from "./get.ts"
import { momentText, timeText } from "./moment.ts"
import { NameError, objectNames, resourceKind } from "./object-name.ts"
import type { Item, Observed } from "./observe.ts"

export const observedOf = ({ resources, units, acks }: PastState): Observed => ({
  resources: [...resources.values()].flatMap(({ subject, headers, body }): readonly Item[] => {
    const parsed = parseSubject(subject)
    return parsed?.is === "resource" ? [{ kind: parsed.kind, plane: "", key: parsed.key, value: jsonOrText(body), file: decodeHeader(headers[header.source] ?? "") }] : []
  }),
  entries: [...units.values()].flatMap(({ entries }) => [...entries].flatMap(([subject, { body }]): readonly Item[] => {
    const parsed = parseSubject(subject)
    return parsed?.is === "entry" ? [{ kind: parsed.section, plane: parsed.plane, key: parsed.id, value: jsonOrText(body), file: "" }] : []
  })),
  applied: [...acks.values()].map(({ body }) => jsonOrText(body)),
})

/** What has an exit status of its own becomes a failure that carries it. */
export const asFailure = (error: unknown) =>
  error instanceof HistoryError ? failure(error.message, error.reason === "off" ? exit.failed : exit.outsideWindow) : error instanceof NameError ? failure(error.message, 2) : error

export const answering = <A>(run: () => Promise<A>): Promise<A> =>
  run().catch((error: unknown) => {
    throw asFailure(error)
  })

export interface AsOf {
  /** RFC 3339. */
  readonly moment: string
  /** The last message of RESOURCES up to then. */
  readonly seq: number
  readonly exact: boolean
  readonly doubts: readonly string[]
}

export const asOf = (moment: Moment, { seq }: PastState, doubts: readonly string[]): AsOf => ({ moment: momentText(moment), seq, exact: doubts.length === 0, doubts })

/** On stderr, so that what is printed can be read by a program. */
export const sayDoubts = (doubts: readonly string[]) =>
  Effect.sync(() => { for (const doubt of doubts) process.stderr.write(`not exact: ${doubt}\n`) })

/** One object or entry, as named: its subject. */
export interface Target {
  readonly subject: string
  readonly text: string
}

/** Of `httproute web`, `httproute/shop/web`, `cluster service/default/web/80`. Throws NameError. */
export const targetOf = (words: readonly string[], namespace: string | undefined, plane: string): Target => {
  const [first = "", second] = words
  const slash = first.indexOf("/")
  const kindWord = slash < 0 ? first : first.slice(0, slash)
  if (resourceKind(kindWord) !== undefined) {
    const [name, ...more] = objectNames(words, namespace)
    if (name === undefined || more.length > 0) throw new NameError("name one object")
    return { subject: resourceSubject(name.kind, name.key), text: `${name.kind} ${name.key.replace(/^\//, "")}` }
  }
  const id = slash < 0 ? second : first.slice(slash + 1)
  const section = aliases[kindWord.toLowerCase()] ?? kindWord.toLowerCase()
  if (id === undefined || id === "" || words.length > (slash < 0 ? 2 : 1)) throw new NameError(`which ${section}? Write ${section}/ID or ${section} ID`)
  return { subject: configSubject(plane, section, id), text: `${section} ${id} of ${plane}` }
}

/** As `targetOf`; where no plane is said, the one that has or had such an entry. Rejects with NameError. */
export const targetIn = async (bus: Bus, words: readonly string[], namespace: string | undefined, plane: string | undefined): Promise<Target> => {
  const target = targetOf(words, namespace, plane ?? "default")
  const entry = parseSubject(target.subject)
  if (plane !== undefined || entry?.is !== "entry") return target
  const found = (await stateOf(bus, "CONFIG", `config.*.${encodeToken(entry.section)}.${encodeToken(entry.id)}`)).flatMap(({ subject }) => {
    const parsed = parseSubject(subject)
    return parsed?.is === "entry" ? [parsed.plane] : []
  })
  const [only = "default", ...more] = found.sort()
  if (more.length > 0) throw new NameError(`${entry.section} ${entry.id} is in several data planes: ${found.join(", ")}; name one by --plane`)
  return targetOf(words, namespace, only)
}

/** What a pod said it serves: revisions by function. */
export interface Serving {
  readonly pod: string
  readonly plane: string
  readonly time: number
  rev(fn: string): number
}

export const servingOf = ({ subject, time, body }: PastAck): Serving | undefined => {
  const parsed = parseSubject(subject)
  if (parsed?.is !== "applied") return undefined
  const value = jsonOrText(body)
  return { pod: parsed.pod, plane: parsed.plane, time, rev: (fn) => Number(at(value, "units", fn, "rev") ?? 0) }
}

/** A revision that has to be served for something to be. */
export interface Needed {
  readonly plane: string
  readonly fn: string
  readonly rev: number
}

export const neededOf = ({ unit, commit }: Pick<CopiedCommit, "unit" | "commit">): Needed => ({ plane: unit.plane, fn: unit.fn, rev: commit.rev })

/** Whether a pod has all of these that are of its plane; undefined when none is. */
export const covers = (serving: Serving, needed: readonly Needed[]): boolean | undefined => {
  const own = needed.filter(({ plane }) => plane === serving.plane)
  return own.length === 0 ? undefined : own.every(({ fn, rev }) => serving.rev(fn) >= rev)
}

/**
 * The revisions in which entries became what they were. Of each entry 64 changes are kept under its own subject; of an
 * older one it is only known that it was in by the unit's revision of then.
 */
export const neededFor = async (bus: Bus, { units, resources }: PastState, subject: string): Promise<readonly Needed[]> => {
  const resource = resources.get(subject)
  const cause = resource && causeOf(subject, resource.seq)
  const found: Needed[] = []
  for (const { unit, commit, entries } of units.values()) {
    const own = cause === undefined ? (entries.has(subject) ? [subject] : []) : [...entries].filter(([, { causes }]) => causes.split(",").includes(cause)).map(([of]) => of)
    const revs = await Promise.all(own.slice(0, MOST).map((of) => changedIn(bus, of, commit.rev)))
    if (own.length > 0) found.push({ plane: unit.plane, fn: unit.fn, rev: own.length > MOST ? commit.rev : Math.max(...revs) })
  }
  return found
}

/** More entries than these of one object are not looked into one by one. */
const MOST = 32

const changedIn = async (bus: Bus, subject: string, upTo: number): Promise<number> => {
  let rev: number | undefined
  await readLog(bus, "CONFIG", subject, { after: 0 }, ({ headers }) => {
    const of = numberHeader(headers, header.rev) ?? 0
    if (of <= upTo) rev = of
    return undefined
  })
  return rev ?? upTo
}

export const unitText = ({ plane, fn, rev }: Needed): string => `${fn}@${rev}${plane === "default" ? "" : ` of ${plane}`}`
export const unitOf = (copy: CopiedCommit): string => unitKey(copy.unit)

/** `up serves it (routes@3), since 14:03:05.123`, a line a pod. */
export const servedLines = (state: PastState, needed: readonly Needed[]): readonly string[] =>
  [...state.acks.values()].flatMap((ack) => {
    const serving = servingOf(ack)
    const has = serving && covers(serving, needed)
    if (serving === undefined || has === undefined) return []
    const own = needed.filter(({ plane }) => plane === serving.plane)
    const lacks = own.filter(({ fn, rev }) => serving.rev(fn) < rev)
    return [has
      ? `${serving.pod} served it: ${own.map(unitText).join(", ")}, by its ack of ${timeText(serving.time)}`
      : `${serving.pod} did not serve it yet: it lacked ${lacks.map(unitText).join(", ")} and served ${lacks.map(({ fn }) => `${fn}@${serving.rev(fn)}`).join(", ")}`]
  })
