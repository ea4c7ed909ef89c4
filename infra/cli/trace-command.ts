/** `headgate trace`, as it is typed. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { attempt, runningBus } from "./command.ts"

export const traceCommand = Command.make(
  "trace",
  {
    what: Argument.String("object or trace id").pipe(Argument.withDescription("httproute/shop/web, httproute web -n shop, or a trace's id or its beginning"), Argument.variadic()),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Of objects named without one (default: default)"), Flag.optional),
    output: Flag.Literals("output", ["waterfall", "json"]).pipe(Flag.withAlias("o"), Flag.withDescription("json: OTLP/JSON"), Flag.withDefault("waterfall")),
  },
  Effect.fnUntraced(function*({ what, namespace, output }) {
    const { traceText } = yield* attempt(() => import("./trace.ts"))
    const connected = yield* runningBus
    const text = yield* attempt(() => traceText(connected, { words: what, namespace: Option.getOrUndefined(namespace), output }))
    yield* Effect.sync(() => process.stdout.write(text))
  }, Effect.scoped),
).pipe(
  Command.withShortDescription("Show where the time of an object's last change went"),
  Command.withDescription(`Show where the time of an object's last change went, from its file to every gateway.

  Exit status: 3 there is no such object or trace.`),
)
