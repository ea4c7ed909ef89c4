import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { durationMs } from "../../bus/kinds/httproute-limits.ts"
import { attempt, exit, failure, runningBus } from "./command.ts"
import { dataFolder, readRunning } from "./data-folder.ts"

/** Of the `up` on HEADGATE_DATA, where that is the bus asked: other adapters' files are not this machine's. */
const manifestsFolder = (): string | undefined => {
  const running = readRunning(dataFolder())
  const given = process.env["HEADGATE_NATS_URL"] ?? ""
  return running?.alive === true && (given === "" || given === running.nats) ? running.manifests : undefined
}

const wrong = (error: unknown) => failure(error instanceof Error ? error.message : String(error), 2)

export const waitCommand = Command.make(
  "wait",
  {
    objects: Argument.String("object").pipe(Argument.withDescription("httproute/web, httproute shop/web, …; none: everything"), Argument.variadic()),
    namespace: Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Of objects named without one (default: default)"), Flag.optional),
    timeout: Flag.String("timeout").pipe(Flag.withDescription("How long at most: 500ms, 30s, 2m"), Flag.withDefault("30s")),
    until: Flag.Literals("for", ["live", "delete"]).pipe(Flag.withDescription("live: every gateway serves the newest version; delete: it is deleted and nobody serves it"), Flag.withDefault("live")),
  },
  Effect.fnUntraced(function*({ objects, namespace, timeout, until }) {
    const [{ wait }, { closeObjects }, { objectNames }, { Manifests }] = yield* attempt(() => Promise.all([import("./wait.ts"), import("./close-objects.ts"), import("./object-name.ts"), import("./wait-files.ts")]))
    const names = yield* Effect.try({ try: () => objectNames(objects, Option.getOrUndefined(namespace)), catch: wrong })
    const limit = durationMs(timeout)
    if (limit === undefined) return yield* failure(`--timeout ${timeout} is not a duration: write something like 500ms, 30s or 2m`, 2)
    if (names.length === 0 && until === "delete") return yield* failure("--for delete: which object?", 2)
    const connected = yield* runningBus
    const folder = manifestsFolder()
    const { status, text } = yield* attempt(() => wait(connected, { objects: names, for: until, timeout: limit, manifests: folder === undefined ? undefined : new Manifests(folder) }))
    if (status === 0) return yield* Console.log(text)
    const [only] = names
    const close = status === exit.notFound && only !== undefined && names.length === 1 ? yield* attempt(() => closeObjects(connected, only)) : []
    return yield* failure(close.length === 0 ? text : `${text}. Like it: ${close.join(", ")}`, status)
  }, Effect.scoped),
).pipe(
  Command.withShortDescription("Wait until every gateway serves the newest version of objects"),
  Command.withDescription(`Wait until every gateway serves the newest version of objects.

  Exit status: 0 they do, 1 not in time (says who lacks what) or the version in the files cannot be taken, 3 there is no
  such object.`),
)
