/**
 * Runs functions until interrupted. Whatever ends a session (the store is lost, a lease is taken, a later epoch
 * writes) is answered in one way: everything is closed and begun anew, as if the process had just been started.
 */
import { Deferred, Effect, type Scope } from "effect"
import { BusError, type Bus } from "../bus/bus.ts"
import { CONTROL_PLANE, kinds } from "../bus/kinds/config.ts"
import { HigherEpochError } from "../bus/unit/unit.ts"
import { createEngine } from "./engine/engine.ts"
import { Leases } from "./leases.ts"
import type { Mandate } from "./outputs.ts"
import type { PassTraces } from "./pass-trace.ts"
import type { Reconciler } from "./reconcile.ts"
import { type Log, Session } from "./session.ts"

export interface RunOptions {
  readonly functions: readonly Reconciler[]
  /** Who asks for the leases: the same name gets them back at once. */
  readonly holder: string
  /** A new connection; the runner closes it. At the signal there is none. */
  connect(signal: AbortSignal): Promise<Bus>
  readonly log: Log
  /** Of the leases, ms. Default 5,000. */
  readonly ttl?: number
  /** The first difference to what is stored has been staged. */
  onPublishing?(functions: readonly string[]): void
  /** Undefined: tracing is off. */
  readonly traces?: PassTraces | undefined
}

/** How long a shutdown waits for what is staged to be committed. */
const LAST_WORDS = "2 seconds"
/** Pauses between beginnings, ms, half of it chance; back to the shortest after a session of a while. */
const SHORTEST = 50
const LONGEST = 5_000
const A_WHILE = 10_000

const attempt = <A>(work: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, unknown> => Effect.tryPromise({ try: work, catch: (error) => error })

const namesOf = (functions: readonly Reconciler[]): readonly string[] => functions.map(({ name }) => name)

/** Never succeeds. Fails with TypeError, at once, for functions that do not fit together. */
export const runFunctions = Effect.fnUntraced(function* (options: RunOptions): Effect.fn.Return<never, unknown> {
  const { log } = options
  yield* Effect.try({ try: () => createEngine({ functions: options.functions, notes: { kind: kinds.note, plane: CONTROL_PLANE } }), catch: (error) => error })
  let above = 0
  for (let failures = 0; ; failures++) {
    const began = performance.now()
    const error = yield* Effect.flip(Effect.scoped(onConnection(options, above)))
    if (error instanceof HigherEpochError) above = Math.max(above, error.epoch)
    if (performance.now() - began > A_WHILE) failures = 0
    log("warning", `beginning anew: ${error instanceof Error ? error.message : String(error)}`)
    yield* Effect.sleep(Math.min(LONGEST, SHORTEST * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2))
  }
})

/** From connect until something ends it. */
const onConnection = Effect.fnUntraced(function* ({ functions, holder, connect, log, ttl = 5_000, onPublishing, traces }: RunOptions, above: number): Effect.fn.Return<never, unknown, Scope.Scope> {
  const over = yield* Deferred.make<never, unknown>()
  const onOver = (error: unknown): void => void Deferred.doneUnsafe(over, Effect.fail(error))
  const bus = yield* Effect.acquireRelease(attempt(connect), (connected) => Effect.promise(() => connected.close()), { interruptible: true })
  const leases = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new Leases({
          bus, holder, ttl, above, functions: namesOf(functions),
          onWaiting: (fn, other) => log("info", `standing by: ${other} runs ${fn}`),
          onLost: onOver,
        }),
    ),
    (held) => Effect.promise(() => held.release()),
  )

  const open = (some: readonly Reconciler[]) =>
    Effect.acquireRelease(
      Effect.sync(() => new Session({ bus, functions: some, writer: holder, log, onOver, traces })),
      (session) => Effect.promise(() => session.settled()).pipe(Effect.timeoutOption(LAST_WORDS), Effect.andThen(Effect.promise(() => session.stop()))),
    )
  const lead = Effect.fnUntraced(function* (session: Session, mandates: ReadonlyMap<string, Mandate>) {
    yield* untilAnswered(() => session.upToDate())
    yield* attempt(() => session.publish(mandates))
    log("info", `publishing ${namesOf(session.functions).join(", ")}`)
    onPublishing?.(namesOf(session.functions))
  })

  /** All functions, warm while it waits; who is held if that is not all. */
  const all = Effect.gen(function* () {
    const session = yield* open(functions)
    const mandates = yield* attempt(() => leases.settled())
    if (mandates.size < functions.length) return mandates
    yield* lead(session, mandates)
    return yield* Effect.never
  })
  const some = Effect.fnUntraced(function* (mandates: ReadonlyMap<string, Mandate>) {
    const session = yield* open(functions.filter(({ name }) => mandates.has(name)))
    log("info", `others run ${namesOf(functions).filter((name) => !mandates.has(name)).join(", ")}`)
    yield* lead(session, mandates)
    yield* attempt(() => leases.grown())
    return yield* Effect.fail(new Error("one more lease is held"))
  })
  return yield* Effect.raceFirst(Deferred.await(over), Effect.scoped(all).pipe(Effect.flatMap((mandates) => Effect.scoped(some(mandates)))))
})

/** Asks again while the server does not answer. */
const untilAnswered = (ask: () => Promise<void>): Effect.Effect<void, unknown> =>
  attempt(ask).pipe(
    Effect.catch((error) =>
      error instanceof BusError && (error.reason === "timeout" || error.reason === "disconnected") ? Effect.sleep(100).pipe(Effect.andThen(untilAnswered(ask))) : Effect.fail(error),
    ),
  )
