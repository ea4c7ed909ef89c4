/** `headgate history`: every version of one object or entry, what each came from and what followed. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Bus, Message } from "../../bus/bus.ts"
import { decodeHeader, header, isDeleted, numberHeader } from "../../bus/envelope.ts"
import type { CopiedCommit } from "../../bus/history/commits.ts"
import { past, type Past, type Version } from "../../bus/history/past.ts"
import { readLog } from "../../bus/history/read.ts"
import { causeOf } from "../../bus/history/versions.ts"
import { kinds } from "../../bus/kinds/config.ts"
import { parseSubject, resourceSubject } from "../../bus/subject.ts"
import type { Row } from "../../bus/unit/unit.ts"
import { changedPaths, changesText } from "./changes.ts"
import { attempt, exit, failure, runningBus } from "./command.ts"
import { at, jsonOrText } from "./field.ts"
import { printable } from "./get.ts"
import { timeText } from "./moment.ts"
import { resourceKind } from "./object-name.ts"
import { answering, covers, neededOf, sayDoubts, servingOf, targetIn, targetOf, type Serving, type Target } from "./past-view.ts"

/** One version, with everything that is known of it. */
export interface Told {
  readonly time: string
  /** In RESOURCES; of an entry, of its commit in CONFIG. */
  readonly seq: number
  readonly deleted: boolean
  readonly generation?: number
  /** Relative to its adapter's folder. */
  readonly file?: string
  /** Against the version before; none for the first and where it was deleted. */
  readonly changed: readonly string[]
  /** Of an entry: the edits that made it so, `<kind>/<key>@<sequence of RESOURCES>`. */
  readonly causes: readonly string[]
  /** Of an object: what followed from it; of an entry: what made it. */
  readonly commits: readonly { readonly plane: string; readonly function: string; readonly version: string; readonly rev: number; readonly seq: number; readonly time: string; readonly entries: readonly string[] }[]
  /** When each pod first served all of that. */
  readonly served: readonly { readonly pod: string; readonly plane: string; readonly time: string }[]
}

/** The changed inputs that made this row what it is; undefined where the commit does not say. */
export const causesOf = ({ commit }: CopiedCommit, [, body, inputs, triggers]: Row): readonly string[] | undefined => {
  if (triggers !== undefined) return triggers
  // What nobody derived any more when a function began to run was taken away by nothing that it saw happen.
  if (body === null && inputs.length === 0) return undefined
  const own = commit.causes.filter((cause) => inputs.includes(cause))
  return own.length > 0 ? own : commit.causes
}

const REFERENCE = /^([^/]+)\/(.*)@(\d+)$/

/**
 * Of the inputs of what was taken away, the edits since that may have done it: of each input its last deletion up to
 * the moment (it may be there again before the removal is committed), else its last change.
 */
const editsSince = async (bus: Bus, inputs: readonly string[], time: number): Promise<readonly string[]> => {
  const edits = await Promise.all(inputs.map(async (cause) => {
    const [, kind, key, seq] = REFERENCE.exec(cause) ?? []
    if (kind === undefined || key === undefined || resourceKind(kind) === undefined) return undefined
    const subject = resourceSubject(kind, key)
    const since: Message[] = []
    await readLog(bus, "RESOURCES_HISTORY", subject, { after: Number(seq) }, (message) => void (message.time <= time && since.push(message)))
    return (since.findLast(({ headers }) => isDeleted(headers)) ?? since.at(-1))
  }))
  const found = edits.filter((edit) => edit !== undefined)
  const deleted = found.filter(({ headers }) => isDeleted(headers))
  return (deleted.length > 0 ? deleted : found).map(({ subject, seq }) => causeOf(subject, seq))
}

/** `+route httproute/default/web`. A note's id is a hash, which says nothing to people: its reason does, as long as it is said. */
export const entryText = ([subject, body]: Row): string => {
  const parsed = parseSubject(subject)
  const sign = body === null ? "-" : "+"
  if (parsed?.is !== "entry") return `${sign}${subject}`
  if (parsed.section !== kinds.note.name) return `${sign}${parsed.section} ${parsed.id}`
  const reason = body === null ? undefined : at(jsonOrText(body), "reason")
  return `${sign}note${typeof reason === "string" ? ` ${reason}` : ""}`
}

/** Of each list of commits, when each pod first served all that are of its plane, by the pod's subject. */
const firstServed = async (asked: Past, commits: readonly (readonly CopiedCommit[])[]): Promise<readonly ReadonlyMap<string, Serving>[]> => {
  const served: Map<string, Serving>[] = commits.map(() => new Map())
  await Promise.all((await asked.pods()).map(async (pod) => {
    const parsed = parseSubject(pod)
    // What is committed for others, statuses for instance, often comes after the ack.
    const since = commits.map((own) => Math.max(...own.filter(({ unit: { plane } }) => parsed?.is === "applied" && plane === parsed.plane).map(({ time }) => time)))
    for (const [i, from] of since.entries()) {
      if (from === -Infinity || served[i]?.has(pod) === true) continue
      await asked.acksSince(pod, from, (ack) => {
        const serving = servingOf(ack)
        if (serving === undefined) return undefined
        // Of versions close together one ack often tells of several.
        for (const [k, own] of commits.entries()) if (k >= i && served[k]?.has(pod) === false && covers(serving, own.map(neededOf)) === true) served[k].set(pod, serving)
        const next = since.find((time, k) => k > i && time !== -Infinity && served[k]?.has(pod) === false)
        return served[i]?.has(pod) === true && (next === undefined || next > ack.time + NEAR) ? "enough" : undefined
      })
    }
  }))
  return served
}

/** Between versions closer than this, ms, acks are read on rather than asked for anew. */
const NEAR = 5000

/** Versions of the target, oldest first; of the last `tail` of them, where that is given. Throws CommandFailed when there never was one. */
export const history = (bus: Bus, target: Target, tail: number | undefined): Promise<{ readonly told: readonly Told[]; readonly doubts: readonly string[] }> =>
  answering(async () => {
    const asked = past(bus)
    const { value: all, doubts } = await asked.versionsOf(target.subject)
    if (all.length === 0) throw failure(`there is no ${target.text} in the history`, exit.notFound)
    const from = tail === undefined ? 0 : Math.max(0, all.length - tail)
    const isResource = target.subject.startsWith("resource.")
    const shown = all.slice(from)
    const followed = isResource ? await asked.commitsCausedBy(target.subject, shown) : []
    const commitsOf = ({ seq, commit }: Version): readonly CopiedCommit[] =>
      isResource ? followed.filter(({ commit: { causes: answered } }) => answered.includes(causeOf(target.subject, seq))) : commit === undefined ? [] : [commit]
    const commits = shown.map(commitsOf)
    const served = await firstServed(asked, commits)
    const told = await Promise.all(shown.map(async (version, i): Promise<Told> => {
      const before = all[from + i - 1]
      const row = version.commit?.rows.find(([subject]) => subject === target.subject)
      const because = version.commit === undefined || row === undefined ? version.causes : (causesOf(version.commit, row) ?? (await editsSince(bus, before?.causes ?? [], version.time)))
      return tell(version, before, because, commits[i] ?? [], [...(served[i]?.values() ?? [])], target)
    }))
    return { told, doubts }
  })

const tell = ({ seq, time, body, message }: Version, before: Version | undefined, causes: readonly string[], commits: readonly CopiedCommit[], served: readonly { readonly pod: string; readonly plane: string; readonly time: number }[], target: Target): Told => {
  const generation = message === undefined ? undefined : numberHeader(message.headers, header.generation)
  const file = message?.headers[header.source]
  return {
    time: timeText(time), seq, deleted: body === undefined,
    ...(generation === undefined ? {} : { generation }),
    ...(file === undefined ? {} : { file: decodeHeader(file) }),
    changed: body === undefined || before?.body === undefined ? [] : changedPaths(jsonOrText(before.body), jsonOrText(body)),
    causes,
    commits: commits.map(({ unit, commit: { version, rev }, seq: of, time: at, rows }) => ({ plane: unit.plane, function: unit.fn, version, rev, seq: of, time: timeText(at), entries: entriesOf(target, rows) })),
    served: served.map(({ pod, plane, time: at }) => ({ pod, plane, time: timeText(at) })),
  }
}

/** Of what an object's version has led to, the entries it is itself a cause of stand first. */
const entriesOf = (target: Target, rows: readonly Row[]): readonly string[] =>
  rows.filter(([subject]) => target.subject.startsWith("resource.") || subject === target.subject).map(entryText)

const some = (texts: readonly string[], most: number): string => (texts.length <= most ? texts.join(", ") : `${texts.slice(0, most).join(", ")} and ${texts.length - most} more`)

const linesOf = (told: Told, isFirst: boolean): readonly string[] => {
  const { time, seq, deleted, generation, file, changed, causes, commits, served } = told
  const what = deleted ? "deleted" : isFirst || changed.length > 0 ? (changed.length > 0 ? `changed ${changesText(changed)}` : "there") : "there, " + changesText(changed)
  return [
    [time, `seq ${seq}`, ...(generation === undefined ? [] : [`generation ${generation}`]), ...(file === undefined ? [] : [file]), what].join("  "),
    ...(causes.length === 0 ? [] : [`  because of ${some(causes, 6)}`]),
    ...commits.map(({ plane, function: fn, version, rev, time: at, entries }) => `  ${fn}@${version} rev ${rev}${plane === "default" ? "" : ` for ${plane}`} at ${at.slice(11)}: ${entries.length === 0 ? "nothing changed" : some(entries, 4)}`),
    ...served.map(({ pod, time: at }) => `  ${pod} served it from ${at.slice(11)}`),
  ]
}

export const historyText = (target: Target, told: readonly Told[]): string =>
  `${target.text}\n${told.flatMap((version, i) => linesOf(version, i === 0)).map(printable).join("\n")}\n`

export const historyCommand = Command.make(
  "history",
  {
    object: Argument.String("object").pipe(Argument.withDescription("httproute/web, httproute shop/web, cluster service/default/web/80, route httproute/default/web, …"), Argument.variadic()),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Of an object named without one (default: default)"), Flag.optional),
    plane: Flag.String("plane").pipe(Flag.withDescription("Data plane of an entry; may be left out where one has it"), Flag.optional),
    tail: Flag.Int("tail").pipe(Flag.withDescription("Only so many versions, the last ones"), Flag.optional),
    output: Flag.Literals("output", ["text", "json"]).pipe(Flag.withAlias("o"), Flag.withDefault("text")),
  },
  Effect.fnUntraced(function*({ object, namespace, plane, tail, output }) {
    if (object.length === 0) return yield* failure("history of which object? Write KIND/NAME or KIND NAMESPACE/NAME", 2)
    // A name that is none is told without a bus.
    yield* attempt(() => answering(async () => targetOf(object, Option.getOrUndefined(namespace), "default")))
    const connected = yield* runningBus
    const target = yield* attempt(() => answering(() => targetIn(connected, object, Option.getOrUndefined(namespace), Option.getOrUndefined(plane))))
    const { told, doubts } = yield* attempt(() => history(connected, target, Option.getOrUndefined(tail)))
    yield* Effect.sync(() => process.stdout.write(output === "json" ? `${JSON.stringify({ object: target.text, exact: doubts.length === 0, doubts, versions: told }, null, 2)}\n` : historyText(target, told)))
    yield* sayDoubts(doubts)
  }, Effect.scoped),
).pipe(
  Command.withShortDescription("Show every version of an object or an entry, and which pods served it"),
  Command.withDescription(`Show every version of an object or an entry, oldest first: what changed, which edit caused it, what followed from it,
  which pods served it.

  Exit status: 3 there is no such object in the history.`),
)
