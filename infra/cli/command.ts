/** What every command needs: promises as effects, a failure with its exit status, the running bus. */
import { Effect, Schema } from "effect"
import { connectToRunning } from "./observe.ts"

/** 1: failed, or what was asked does not hold. 2 is a wrong command line. */
export const exit = { failed: 1, notFound: 3, outsideWindow: 4 } as const

/** Says on stderr what went wrong and ends with `status`. Throw it from what is given to `attempt`. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", { message: Schema.String, status: Schema.Number }) {}

export const failure = (message: string, status: number = exit.failed): CommandFailed => new CommandFailed({ message, status })

export const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, CommandFailed> =>
  Effect.tryPromise({ try: run, catch: (error) => (error instanceof CommandFailed ? error : failure(error instanceof Error ? error.message : String(error))) })

/** Of HEADGATE_NATS_URL, or of the `up` that runs on HEADGATE_DATA. */
export const runningBus = Effect.acquireRelease(attempt(connectToRunning), (connected) => Effect.promise(() => connected.close()))
