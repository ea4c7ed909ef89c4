/** `headgate diff A B`: what differs between two moments. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Bus } from "../../bus/bus.ts"
import { past } from "../../bus/history/past.ts"
import type { Moment, PastState } from "../../bus/history/state.ts"
import { kinds } from "../../bus/kinds/config.ts"
import { parseSubject } from "../../bus/subject.ts"
import { momentOf } from "./at.ts"
import { changedPaths, changesText } from "./changes.ts"
import { attempt, exit, failure, runningBus } from "./command.ts"
import { at, jsonIn, jsonOrText } from "./field.ts"
import { printable } from "./get.ts"
import { momentText } from "./moment.ts"
import { answering, sayDoubts, targetIn, type Target } from "./past-view.ts"

export interface Difference {
  readonly what: "added" | "removed" | "changed"
  readonly object: string
  readonly subject: string
  /** Of what has changed. */
  readonly paths: readonly string[]
}

const bodiesOf = ({ resources, units }: PastState): ReadonlyMap<string, string> =>
  new Map([...[...resources].map(([subject, { body }]) => [subject, body] as const), ...[...units.values()].flatMap(({ entries }) => [...entries].map(([subject, { body }]) => [subject, body] as const))])

/** A note by what it says and of what: its id is a hash. */
const nameOf = (subject: string, body: string | undefined): string => {
  const parsed = parseSubject(subject)
  if (parsed?.is === "resource") return `${parsed.kind} ${parsed.key.replace(/^\//, "")}`
  if (parsed?.is !== "entry") return subject
  const note = parsed.section === kinds.note.name ? jsonIn(body) : undefined
  const [reason, kind, namespace, name] = [at(note, "reason"), at(note, "about", "kind"), at(note, "about", "namespace"), at(note, "about", "name")].map((part) => (typeof part === "string" ? part : ""))
  if (!reason) return `${parsed.section} ${parsed.id} of ${parsed.plane}`
  return `note ${reason}${name ? ` on ${kind} ${namespace ? `${namespace}/` : ""}${name}` : ""} by ${parsed.id.split("/")[0] ?? parsed.id}`
}

/** From the first state to the second, resources before entries, each by subject. */
export const differences = (before: PastState, after: PastState): readonly Difference[] => {
  const [then, now] = [bodiesOf(before), bodiesOf(after)]
  const subjects = [...new Set([...then.keys(), ...now.keys()])].filter((subject) => then.get(subject) !== now.get(subject))
  const isEntry = (subject: string): number => (subject.startsWith("config.") ? 1 : 0)
  return subjects.sort((a, b) => isEntry(a) - isEntry(b) || (a < b ? -1 : 1)).map((subject) => {
    const [old, new_] = [then.get(subject), now.get(subject)]
    const what = old === undefined ? "added" : new_ === undefined ? "removed" : "changed"
    return { what, object: nameOf(subject, new_ ?? old), subject, paths: what === "changed" ? changedPaths(jsonOrText(old), jsonOrText(new_)) : [] }
  })
}

const sign = { added: "+", removed: "-", changed: "~" } as const

/** Throws CommandFailed: outside the window, or the object was there at neither moment. */
export const diff = (bus: Bus, a: Moment, b: Moment, target: Target | undefined, output: "table" | "json"): Promise<{ readonly text: string; readonly doubts: readonly string[] }> =>
  answering(async () => {
    const asked = past(bus)
    const [before, after] = await Promise.all([asked.stateAt(a, { acks: false }), asked.stateAt(b, { acks: false })])
    if (target !== undefined && ![before, after].some(({ value }) => bodiesOf(value).has(target.subject))) throw failure(`there was no ${target.text}, neither ${momentText(a)} nor ${momentText(b)}`, exit.notFound)
    const found = differences(before.value, after.value).filter(({ subject }) => target === undefined || subject === target.subject)
    const doubts = [...new Set([...before.doubts, ...after.doubts])]
    if (output === "json") return { text: `${JSON.stringify({ from: momentText(a), to: momentText(b), exact: doubts.length === 0, doubts, differences: found }, null, 2)}\n`, doubts }
    const lines = found.map(({ what, object, paths }) => `${sign[what]} ${object}${what === "changed" ? `: ${changesText(paths)}` : ""}`)
    return { text: `from ${momentText(a)} to ${momentText(b)}\n${lines.length === 0 ? "nothing differs" : lines.map(printable).join("\n")}\n`, doubts }
  })

export const diffCommand = Command.make(
  "diff",
  {
    a: Argument.String("a").pipe(Argument.withDescription("A moment, as for headgate at")),
    b: Argument.String("b").pipe(Argument.withDescription("Another; now for now")),
    object: Argument.String("object").pipe(Argument.withDescription("Only this: httproute/web, httproute shop/web, cluster service/default/web/80"), Argument.variadic()),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Of an object named without one (default: default)"), Flag.optional),
    plane: Flag.String("plane").pipe(Flag.withDescription("Data plane of an entry; may be left out where one has it"), Flag.optional),
    output: Flag.Literals("output", ["table", "json"]).pipe(Flag.withAlias("o"), Flag.withDefault("table")),
  },
  Effect.fnUntraced(function*({ a, b, object, namespace, plane, output }) {
    const [first, second] = [yield* momentOf(a), yield* momentOf(b)]
    const connected = yield* runningBus
    const { text, doubts } = yield* attempt(() => answering(async () => diff(connected, first, second, object.length === 0 ? undefined : await targetIn(connected, object, Option.getOrUndefined(namespace), Option.getOrUndefined(plane)), output)))
    yield* Effect.sync(() => process.stdout.write(text))
    yield* sayDoubts(doubts)
  }, Effect.scoped),
).pipe(
  Command.withShortDescription("Show what was added, removed and changed between two moments"),
  Command.withDescription(`Show what was added, removed and changed between two moments.

  Exit status: 3 there was no such object at either, 4 a moment is outside the history that is kept.`),
)
