/** The commands people type. `headgate <command> --help` tells of each. */
import { createRequire } from "node:module"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Exit, Option } from "effect"
import { Argument, CliConfig, CliError, Command, Flag, GlobalFlag } from "effect/cli"
import { atCommand } from "./at.ts"
import { attempt, runningBus } from "./command.ts"
import { diffCommand } from "./diff.ts"
import { describeCommand } from "./describe-command.ts"
import { events } from "./events.ts"
import { explainCommand } from "./explain-command.ts"
import { get } from "./get.ts"
import { historyCommand } from "./history.ts"
import { installCommand, uninstallCommand } from "./install-command.ts"
import { withMoments } from "./moment.ts"
import { manifestText, observe } from "./observe.ts"
import { traceCommand } from "./trace-command.ts"
import { waitCommand } from "./wait-command.ts"

const { version }: { readonly version: string } = createRequire(import.meta.url)("headgate/package.json")

const upCommand = Command.make(
  "up",
  {
    manifests: Flag.String("manifests").pipe(Flag.withDescription("Folder of Kubernetes manifests to serve and watch (default: a demo)"), Flag.optional),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print one line of JSON when ready"), Flag.withDefault(false)),
    bind: Flag.String("bind").pipe(Flag.withDescription("Address listeners are bound to"), Flag.withDefault("127.0.0.1")),
    trace: Flag.Boolean("trace").pipe(Flag.withDescription("Trace every edit: see headgate trace"), Flag.withDefault(false)),
    admin: Flag.String("admin").pipe(Flag.withDescription("Address and port of the gateway's admin interface"), Flag.withDefault("127.0.0.1:9901")),
    controllerName: Flag.String("controller-name").pipe(Flag.withDescription("GatewayClasses of this controller are ours; * for any (default: headgate.dev/gateway)"), Flag.optional),
  },
  ({ manifests, json, bind, admin, trace, controllerName }) =>
    // It drains by itself on a signal; an interruption half-way would leave its children to their pipes.
    Effect.uninterruptible(attempt(async () => (await import("./up.ts")).up({ manifests: Option.getOrUndefined(manifests), json, bind, admin, trace, controllerNames: Option.toArray(controllerName) }))),
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
    const connected = yield* runningBus
    const text = yield* attempt(async () =>
      get(await observe(connected), { kind: Option.getOrUndefined(kind), name: Option.getOrUndefined(name), namespace: all ? undefined : Option.getOrUndefined(namespace), output }, manifestText()))
    yield* Effect.sync(() => process.stdout.write(text))
  }, Effect.scoped),
).pipe(Command.withDescription("Show what is configured, and notes on what is wrong"))

const eventsCommand = Command.make(
  "events",
  { follow: Flag.Boolean("follow").pipe(Flag.withAlias("f"), Flag.withDescription("Go on with what comes"), Flag.withDefault(false)) },
  Effect.fnUntraced(function*({ follow }) {
    const connected = yield* runningBus
    yield* attempt(() => events(connected, follow, (line) => void process.stdout.write(`${line}\n`)))
  }, Effect.scoped),
).pipe(Command.withDescription("Show every edit and what became of it"))

const validateCommand = Command.make(
  "validate",
  {
    folder: Argument.String("folder").pipe(Argument.withDescription("Folder of manifests")),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print the problems as a JSON list"), Flag.withDefault(false)),
    controllerName: Flag.String("controller-name").pipe(Flag.withDescription("GatewayClasses of this controller are ours; * for any (default: headgate.dev/gateway)"), Flag.optional),
  },
  Effect.fnUntraced(function*({ folder, json, controllerName }) {
    const found = yield* attempt(async () => {
      const { validate, validationText } = await import("./validate.ts")
      const validation = validate(folder, Option.isSome(controllerName) ? [controllerName.value] : undefined)
      process.stdout.write(json ? `${JSON.stringify(validation.notes, null, 2)}\n` : validationText(validation))
      return validation
    })
    if (found.notes.some(({ severity }) => severity === "error")) process.exitCode = 1
  }),
).pipe(
  Command.withShortDescription("Check a folder of manifests without starting anything"),
  Command.withDescription(`Check a folder of manifests without starting anything.

  Exit status: 1 there are errors.`),
)

const headgate = Command.make("headgate").pipe(
  Command.withDescription(`A Kubernetes gateway whose control plane is an event log.

  The parts of a running Headgate are commands of their own, against the bus at HEADGATE_NATS_URL:
    headgate adapter files --manifests DIR    publishes a folder of manifests
    headgate functions [NAME | ./FILE.ts …]   derives configuration
    headgate gateway                          serves it
    headgate nats                             the bus itself, in a cluster
  HEADGATE_DATA (default .headgate) is the folder of one installation; several run side by side.
  Exit status: 0 done, 1 failed or problems found, 2 the command line is wrong, 3 there is no such thing, 4 outside the
  history that is kept.`),
  Command.withSubcommands([upCommand, getCommand, describeCommand, eventsCommand, atCommand, historyCommand, diffCommand, explainCommand, waitCommand, traceCommand, validateCommand, installCommand, uninstallCommand]),
)

/** 2 for a command line that cannot be read, 1 for what failed or what a command has set. */
const exitStatus = <A, E>(exit: Exit.Exit<A, E>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return typeof process.exitCode === "number" ? process.exitCode : 0
  const error = Cause.squash(exit.cause)
  if (!CliError.isCliError(error)) return 1
  return error._tag === "ShowHelp" && error.errors.length === 0 ? 0 : 2
}

export const main = (): void => {
  process.argv.splice(2, Infinity, ...withMoments(process.argv.slice(2)))
  run()
}

const run = (): void =>
  Command.run(headgate, { version }).pipe(
    Effect.catchTag("CommandFailed", (error) => Console.error(`headgate: ${error.message}`).pipe(Effect.andThen(Effect.sync(() => { process.exitCode = error.status })))),
    Effect.provide([NodeServices.layer, CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })]),
    NodeRuntime.runMain({ teardown: (exit, onExit) => onExit(exitStatus(exit)), disableErrorReporting: true }),
  )
