import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { attempt, runningBus } from "./command.ts"

export const explainCommand = Command.make(
  "explain",
  {
    words: Argument.String("what").pipe(Argument.withDescription("httproute/web; route httproute/default/web; GET http://shop.example/cart"), Argument.variadic({ min: 1 })),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Of an object named without one (default: default)"), Flag.optional),
    header: Flag.String("header").pipe(Flag.withAlias("H"), Flag.withDescription("Of the request, NAME: VALUE; may be repeated"), Flag.atLeast(0)),
    gateway: Flag.String("gateway").pipe(Flag.withDescription("NAMESPACE/NAME: only its listeners"), Flag.optional),
    output: Flag.Literals("output", ["text", "json"]).pipe(Flag.withAlias("o"), Flag.withDefault("text")),
  },
  Effect.fnUntraced(function*({ words, namespace, header, gateway, output }) {
    const connected = yield* runningBus
    const text = yield* attempt(async () => {
      const [{ explain }, { manifestText }] = await Promise.all([import("./explain.ts"), import("./observe.ts")])
      return explain(connected, { words, namespace: Option.getOrUndefined(namespace), headers: header, gateway: Option.getOrUndefined(gateway), output, textOf: manifestText() })
    })
    yield* Effect.sync(() => process.stdout.write(text))
  }, Effect.scoped),
).pipe(
  Command.withShortDescription("Explain what became of an object, or why a request goes where it goes"),
  Command.withDescription(`Explain what became of an object, what a config entry was made from, or why a request goes where it goes.

  Exit status: 2 it cannot be understood, 3 there is no such thing.`),
)
