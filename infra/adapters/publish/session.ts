/**
 * An adapter's life on the bus. What it watches it watches on whoever is connected; what that asks for is published in sessions. A
 * session is one connection, one lease and one knowledge of what the stream holds; it ends when any of them is lost,
 * and the next one publishes whatever then differs (everything, into a new store).
 */
import { Deferred, Effect, Schedule, type Scope } from "effect"
import { type Bus, BusError } from "../../../bus/bus.ts"
import { ASK_PROGRESS, type Synced, syncedSubject } from "../../../bus/hints.ts"
import { acquireLease, type Lease } from "../../../bus/unit/lease.ts"
import { followWanted, type Wants } from "../wanted/follow.ts"
import type { Desired } from "./desired.ts"
import { type Held, heldOf, Publisher, type Trouble } from "./publisher.ts"

export interface SessionOptions {
  readonly connect: (signal: AbortSignal) => Promise<Bus>
  /** Name of the lease, and `Hg-Writer` of what is published: `adapter.files`. */
  readonly adapter: string
  /** Of the lease. */
  readonly holder: string
  /** ms; default: the lease's. */
  readonly ttl?: number
  /** How long deleted objects are remembered, ms. */
  readonly forgetAfter: number
  readonly log: (line: Readonly<Record<string, unknown>> & { readonly message: string }) => void
  /** More that the adapter does while it has its lease and has published what there is; ended before the lease is given back. */
  readonly during?: (session: Session) => { stop(): Promise<void> }
}

export interface Session {
  readonly bus: Bus
  /** Of the lease. */
  readonly epoch: number
  /** Ends the session: a new one begins. */
  end(reason: string): void
}

/** What is watched, at the latest from the first `attach` on. */
export interface Source {
  /** Subject → what should stand there. */
  readonly desired: ReadonlyMap<string, Desired>
  /** Everything that was there at first has been read, or cannot be at the moment. */
  readonly ready: Promise<void>
  /** Into a store that holds something, nothing is published before `ready`, which then must not wait for `attach`. */
  readonly isWholeOrNothing: boolean
  want(wants: Wants): void
  /** Publishes what differs from `held`, and every change from now on. */
  attach(publisher: Publisher, held: ReadonlyMap<string, Held>): void
  detach(): void
  /** Publishes `sync` marks of this incarnation of RESOURCES for every kind that is known whole; what was desired is stored. */
  markSynced(incarnation: string): void
  /** Notes why an object cannot be published, or takes that back. */
  trouble(subject: string, trouble: Trouble | undefined): void
  /** For the log: of how much this is. */
  summary(): Readonly<Record<string, unknown>>
}

/** Sessions, one after the other, until interrupted; then sends what is on its way, gives the lease back and closes. */
export const publishing = (options: SessionOptions, source: Source): Effect.Effect<never> => {
  const log = (level: string, message: string, reason: string): void => options.log({ level, message, reason })
  let failed: { readonly reason: string; readonly at: number } | undefined
  return Effect.scoped(session(options, source)).pipe(
    Effect.flatMap((reason) => Effect.sync(() => {
      failed = undefined
      log("warn", "session over", reason)
    })),
    Effect.catch(({ message }) => Effect.suspend(() => {
      // Tried three times a second, it fails for the same reason until somebody does something.
      if (failed?.reason !== message || performance.now() - failed.at > REMIND) {
        failed = { reason: message, at: performance.now() }
        log("error", "session failed", message)
      }
      return Effect.sleep(200 + Math.random() * 200)
    })),
    Effect.forever,
  )
}

/** How often the same is said again, ms. */
const REMIND = 60_000

class SessionError extends Error {}

const failure = (cause: unknown): SessionError => new SessionError(cause instanceof Error ? cause.message : String(cause), { cause })

const attempt = <A>(run: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, SessionError> => Effect.tryPromise({ try: run, catch: failure })

/** At the end of a session nothing may hold up the end. */
const closing = (run: () => Promise<void>): Effect.Effect<void> => attempt(run).pipe(Effect.timeout("2 seconds"), Effect.ignore)

/** Succeeds with why it ended. */
const session = Effect.fnUntraced(function* (options: SessionOptions, source: Source) {
  const over = yield* Deferred.make<string>()
  const end = (reason: string): void => void Deferred.doneUnsafe(over, Effect.succeed(reason))
  return yield* Effect.raceFirst(Deferred.await(over), publishUntil(options, source, end))
})

const publishUntil = Effect.fnUntraced(function* (options: SessionOptions, source: Source, end: (reason: string) => void) {
  const began = performance.now()
  const bus = yield* Effect.acquireRelease(attempt(options.connect), (opened) => closing(() => opened.close()), { interruptible: true })
  const { incarnation } = yield* attempt(() => bus.info("RESOURCES"))
  yield* watchForLoss(bus, end)
  const wanted = yield* Effect.acquireRelease(
    Effect.sync(() => followWanted(bus, {
      onWants: (wants) => source.want(wants),
      onLost: (reason) => end(`the store was lost: ${reason}`),
      onNote: (message) => options.log({ level: "warn", message }),
    })),
    (following) => closing(() => following.stop()),
  )
  const { lease, held } = yield* takeOver(bus, options, end)
  // What is wanted of a Secret must not be taken away because it was not read yet.
  yield* attempt(() => wanted.ready)
  if (source.isWholeOrNothing && held.size > 0) yield* attempt(() => source.ready)
  const publisher = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const made = new Publisher({
        bus, writer: options.adapter, epoch: lease.epoch, desired: source.desired, held, onOver: end,
        onTrouble: (subject, trouble) => source.trouble(subject, trouble),
      })
      source.attach(made, held)
      return made
    }),
    (attached) => Effect.sync(() => source.detach()).pipe(Effect.andThen(closing(() => attached.stop()))),
  )
  yield* attempt(() => source.ready)
  yield* attempt(() => publisher.settled())
  // Only after the whole list is stored may functions take absence for absence.
  source.markSynced(incarnation)
  yield* attempt(() => publisher.settled())
  yield* Effect.acquireRelease(Effect.sync(() => saySynced(bus, options.adapter, held)), (stop) => Effect.sync(stop))
  options.log({ level: "info", message: "in sync", ...source.summary(), resources: source.desired.size, published: publisher.published, epoch: lease.epoch, ms: Math.round(performance.now() - began) })
  const { during } = options
  if (during !== undefined) yield* Effect.acquireRelease(Effect.sync(() => during({ bus, epoch: lease.epoch, end })), (doing) => closing(() => doing.stop()))
  yield* attempt(() => publisher.forget(options.forgetAfter)).pipe(
    Effect.catch((error) => Effect.sync(() => options.log({ level: "warn", message: "tombstones not forgotten", reason: error.message }))),
    Effect.repeat(Schedule.spaced("10 minutes")),
    Effect.forkScoped,
  )
  return yield* Effect.never
})

/** Once, and again whenever somebody asks. */
const saySynced = (bus: Bus, adapter: string, held: ReadonlyMap<string, Held>): (() => void) => {
  let resources = 0
  for (const { seq } of held.values()) resources = Math.max(resources, seq)
  const say = (): void => bus.hint(syncedSubject(adapter), JSON.stringify({ resources } satisfies Synced))
  say()
  return bus.onHint(ASK_PROGRESS, say)
}

const SYNC_MARKS = "resource.sync.>"

const watchForLoss = (bus: Bus, end: (reason: string) => void): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => bus.follow({ stream: "RESOURCES", filter: SYNC_MARKS, from: "state", onMessage: () => undefined, onLost: (reason) => end(`the store was lost: ${reason}`) })),
    (following) => closing(() => following.stop()),
  )

/** Interrupted, it waits until it is known whether the lease was taken in that moment, and gives it back. */
const taking = (acquire: (signal: AbortSignal) => Promise<Lease>): Effect.Effect<Lease, SessionError> =>
  Effect.callback((resume) => {
    const cut = new AbortController()
    const lease = acquire(cut.signal)
    lease.then((taken) => resume(Effect.succeed(taken)), (cause: unknown) => resume(Effect.fail(failure(cause))))
    return closing(async () => {
      cut.abort()
      await (await lease.catch(() => undefined))?.release()
    })
  })

interface TakenOver {
  readonly lease: Lease
  readonly held: Map<string, Held>
}

/** The lease, and then what the stream holds: nobody else changes that from here on. */
const takeOver = Effect.fnUntraced(function* (bus: Bus, options: SessionOptions, end: (reason: string) => void): Effect.fn.Return<TakenOver, SessionError, Scope.Scope> {
  let above = 0
  for (;;) {
    const lease = yield* Effect.acquireRelease(
      taking((signal) => acquireLease(bus, {
        name: options.adapter, holder: options.holder, above, signal, ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
        onWaiting: (holder) => options.log({ level: "info", message: "waiting for the lease", holder }),
        onLost: (reason, message) => end(`${reason}: ${message}`),
      })),
      (taken) => closing(() => taken.release()),
      { interruptible: true },
    )
    const held = yield* attempt(() => readHeld(bus, options.adapter))
    // Leases may have been lost where resources were not.
    for (const { own, epoch } of held.values()) if (own && epoch > above) above = epoch
    if (above <= lease.epoch) return { lease, held }
    yield* closing(() => lease.release())
  }
})

/** The last message of every resource. */
const readHeld = (bus: Bus, writer: string): Promise<Map<string, Held>> =>
  new Promise((resolve, reject) => {
    const held = new Map<string, Held>()
    const following = bus.follow({
      stream: "RESOURCES",
      filter: "resource.>",
      from: "state",
      onMessage: (message) => void held.set(message.subject, heldOf(message, writer)),
      onCaughtUp: () => queueMicrotask(() => void following.stop().then(() => resolve(held), reject)),
      onLost: (reason) => reject(new BusError("no-stream", `RESOURCES was lost: ${reason}`)),
    })
  })
