import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { attempt, exit, failure, runningBus } from "./command.ts"

export const describeCommand = Command.make(
  "describe",
  {
    kind: Argument.String("kind").pipe(Argument.withDescription("gateway, httproute, service, … or KIND/NAME")),
    name: Argument.String("name").pipe(Argument.optional),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Only in this namespace (default: wherever it is)"), Flag.optional),
  },
  Effect.fnUntraced(function*({ kind: word, name: given, namespace }) {
    const [{ alike, describe }, { resourceKind }, { resourceApis }, { manifestText, observe }] = yield* attempt(() => Promise.all([import("./describe.ts"), import("./object-name.ts"), import("../../bus/kinds/all.ts"), import("./observe.ts")]))
    const slash = word.indexOf("/")
    const kindWord = slash < 0 ? word : word.slice(0, slash)
    const name = slash < 0 ? Option.getOrUndefined(given) : word.slice(slash + 1)
    const kind = resourceKind(kindWord)
    const api = resourceApis.find((each) => each.kind.name === kind)
    if (api === undefined) return yield* failure(`"${kindWord}" is no kind of object; there are: ${resourceApis.map((each) => each.kind.name).join(", ")}`, 2)
    if (name === undefined || name === "") return yield* failure(`which ${api.kind.name}? Write ${api.kind.name} NAME`, 2)
    const own = name.lastIndexOf("/")
    const options = { kind: api.kind.name, kindName: api.kindName, name: name.slice(own + 1), namespace: own < 0 ? Option.getOrUndefined(namespace) : name.slice(0, own) }
    const connected = yield* runningBus
    const observed = yield* attempt(() => observe(connected))
    const text = describe(observed, options, manifestText())
    if (text !== undefined) return yield* Effect.sync(() => process.stdout.write(text))
    const close = alike(observed, options)
    const where = options.namespace === undefined ? "" : ` in namespace ${options.namespace}`
    return yield* failure(`there is no ${options.kind} "${options.name}"${where}${close.length === 0 ? "" : `. Like it: ${close.join(", ")}`}`, exit.notFound)
  }, Effect.scoped),
).pipe(
  Command.withShortDescription("Show one object, what became of it, and why"),
  Command.withDescription(`Show one object: what it asks for, its conditions with their reasons, notes with file and line, who serves it.

  Exit status: 2 it cannot be understood, 3 there is no such object.`),
)
