/** `headgate at`: what `get` would have shown at a moment of the past. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { stringify } from "yaml"
import type { Bus } from "../../bus/bus.ts"
import { past } from "../../bus/history/past.ts"
import type { Moment } from "../../bus/history/state.ts"
import { configSubject, resourceSubject } from "../../bus/subject.ts"
import { attempt, exit, failure, runningBus } from "./command.ts"
import { get, type GetOptions } from "./get.ts"
import { manifestText } from "./observe.ts"
import { MomentError, parseMoment } from "./moment.ts"
import { asOf, answering, neededFor, observedOf, sayDoubts, servedLines } from "./past-view.ts"

export interface AtAnswer {
  readonly text: string
  readonly doubts: readonly string[]
}

/** Throws CommandFailed: outside the window, or no such object then. */
export const at = (bus: Bus, moment: Moment, options: GetOptions, textOf: (file: string) => string | undefined): Promise<AtAnswer> =>
  answering(async () => {
    const { value: state, doubts } = await past(bus).stateAt(moment)
    const observed = observedOf(state)
    const when = asOf(moment, state, doubts)
    const head = `as of ${when.moment}, the last change before it: sequence ${when.seq} of RESOURCES`
    const shown = (output: GetOptions["output"]): string => {
      try {
        return get(observed, { ...options, output }, textOf)
      } catch (error) {
        throw failure(`${error instanceof Error ? error.message : String(error)}, ${head}`, exit.notFound)
      }
    }
    if (options.name === undefined) {
      if (options.output !== "json" && options.output !== "yaml") return { text: `${head}\n\n${shown(options.output)}`, doubts }
      return { text: written({ asOf: when, objects: JSON.parse(shown("json")) }, options.output), doubts }
    }
    const found: unknown = JSON.parse(shown("json"))
    const objects = (Array.isArray(found) ? found : [found]).filter(isObject)
    const served = await Promise.all(objects.map(async ({ kind, key, plane }) =>
      servedLines(state, await neededFor(bus, state, plane === undefined ? resourceSubject(kind, key) : configSubject(plane, kind, key)))))
    if (options.output === "json" || options.output === "yaml") return { text: written({ asOf: when, objects: objects.map((object, i) => ({ ...object, servedBy: served[i] ?? [] })) }, options.output), doubts }
    const lines = served.flat()
    return { text: `${head}\n\n${shown(options.output)}${lines.length === 0 ? "" : `\n${lines.join("\n")}\n`}`, doubts }
  })

const written = (value: unknown, output: "json" | "yaml"): string => (output === "json" ? `${JSON.stringify(value, null, 2)}\n` : stringify(value))

interface Shown {
  readonly kind: string
  readonly key: string
  readonly plane?: string
}

const isObject = (value: unknown): value is Shown => typeof value === "object" && value !== null && "kind" in value && typeof value.kind === "string" && "key" in value && typeof value.key === "string" && value.kind !== "pod"

export const momentOf = (text: string) => Effect.try({
  try: () => parseMoment(text, Date.now()),
  catch: (error) => failure(error instanceof MomentError ? error.message : String(error), 2),
})

export const atCommand = Command.make(
  "at",
  {
    when: Argument.String("when").pipe(Argument.withDescription("2026-11-21T14:03:05Z, 14:03 (today, local time), 5m (ago), a sequence of RESOURCES as in events, now")),
    kind: Argument.String("kind").pipe(Argument.withDescription("As for get: httproutes, httproute/web, clusters, … (default: an overview)"), Argument.optional),
    name: Argument.String("name").pipe(Argument.optional),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Only this namespace"), Flag.optional),
    output: Flag.Literals("output", ["table", "wide", "json", "yaml"]).pipe(Flag.withAlias("o"), Flag.withDescription("Default: yaml for one object, else table"), Flag.optional),
  },
  Effect.fnUntraced(function*({ when, kind, name, namespace, output }) {
    const moment = yield* momentOf(when)
    const word = Option.getOrUndefined(kind)
    const slash = word?.indexOf("/") ?? -1
    const named = slash < 0 ? Option.getOrUndefined(name) : word?.slice(slash + 1)
    const options = { kind: slash < 0 ? word : word?.slice(0, slash), name: named, namespace: Option.getOrUndefined(namespace), output: Option.getOrElse(output, () => (named === undefined ? "table" as const : "yaml" as const)) }
    const connected = yield* runningBus
    const { text, doubts } = yield* attempt(() => at(connected, moment, options, manifestText()))
    yield* Effect.sync(() => process.stdout.write(text))
    yield* sayDoubts(doubts)
  }, Effect.scoped),
).pipe(
  Command.withShortDescription("Show what was configured and served at a moment of the past"),
  Command.withDescription(`Show what was configured and served at a moment of the past, exactly.

  Exit status: 3 there was no such object then, 4 the moment is outside the history that is kept.`),
)
