/** The commands people type. `headgate <command> --help` tells of each. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Console, Effect, Exit, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { events } from "./events.ts"
import { get } from "./get.ts"
import { connectToRunning, observe } from "./observe.ts"
import { up } from "./up.ts"

class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", { message: Schema.String }) {}

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, CommandFailed> =>
  Effect.tryPromise({ try: run, catch: (error) => new CommandFailed({ message: error instanceof Error ? error.message : String(error) }) })

const bus = Effect.acquireRelease(attempt(connectToRunning), (connected) => Effect.promise(() => connected.close()))

const upCommand = Command.make(
  "up",
  {
    manifests: Flag.String("manifests").pipe(Flag.withDescription("Folder of Kubernetes manifests to serve and watch (default: a demo)"), Flag.optional),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print one line of JSON when ready"), Flag.withDefault(false)),
    bind: Flag.String("bind").pipe(Flag.withDescription("Address listeners are bound to"), Flag.withDefault("127.0.0.1")),
    admin: Flag.String("admin").pipe(Flag.withDescription("Address and port of the gateway's admin interface"), Flag.withDefault("127.0.0.1:9901")),
    controllerName: Flag.String("controller-name").pipe(Flag.withDescription("GatewayClasses of this controller are ours; * for any (default: headgate.dev/gateway)"), Flag.optional),
  },
  ({ manifests, json, bind, admin, controllerName }) =>
    // It drains by itself on a signal; an interruption half-way would leave its children to their pipes.
    Effect.uninterruptible(attempt(() => up({ manifests: Option.getOrUndefined(manifests), json, bind, admin, controllerNames: Option.toArray(controllerName) }))),
).pipe(Command.withDescription("Run everything on this machine: bus, file adapter, functions, gateway"))

const getCommand = Command.make(
  "get",
  {
    kind: Argument.String("kind").pipe(Argument.withDescription("gateways, httproutes, services, clusters, notes, … (default: an overview)"), Argument.optional),
    name: Argument.String("name").pipe(Argument.optional),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Only this namespace"), Flag.optional),
    all: Flag.Boolean("all-namespaces").pipe(Flag.withAlias("A"), Flag.withDescription("Every namespace (the default)"), Flag.withDefault(false)),
    output: Flag.Literals("output", ["table", "wide", "json", "yaml"]).pipe(Flag.withAlias("o"), Flag.withDefault("table")),
  },
  Effect.fnUntraced(function*({ kind, name, namespace, all, output }) {
    const connected = yield* bus
    const text = yield* attempt(async () =>
      get(await observe(connected), { kind: Option.getOrUndefined(kind), name: Option.getOrUndefined(name), namespace: all ? undefined : Option.getOrUndefined(namespace), output }))
    yield* Effect.sync(() => process.stdout.write(text))
  }, Effect.scoped),
).pipe(Command.withDescription("Show what is configured, and notes on what is wrong"))

const eventsCommand = Command.make(
  "events",
  { follow: Flag.Boolean("follow").pipe(Flag.withAlias("f"), Flag.withDescription("Go on with what comes"), Flag.withDefault(false)) },
  Effect.fnUntraced(function*({ follow }) {
    const connected = yield* bus
    yield* attempt(() => events(connected, follow, (line) => void process.stdout.write(`${line}\n`)))
  }, Effect.scoped),
).pipe(Command.withDescription("Show every edit and what became of it"))

const headgate = Command.make("headgate").pipe(
  Command.withDescription("A Kubernetes gateway whose control plane is an event log"),
  Command.withSubcommands([upCommand, getCommand, eventsCommand]),
)

export const main = (): void =>
  Command.run(headgate, { version: "0.1.0" }).pipe(
    Effect.catchTag("CommandFailed", (error) => Console.error(`headgate: ${error.message}`).pipe(Effect.andThen(Effect.sync(() => { process.exitCode = 1 })))),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({ teardown: (exit, onExit) => onExit(process.exitCode === undefined && (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) ? 0 : 1) }),
  )
