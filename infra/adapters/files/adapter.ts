/**
 * The file adapter's life: folders are watched throughout; what they ask for is published in sessions. A session is
 * one connection, one lease and one knowledge of what the stream holds; it ends when any of them is lost, and the
 * next one publishes whatever then differs (everything, into a new store).
 */
import { Deferred, Effect, Schedule, type Scope } from "effect"
import { type Bus, BusError } from "../../../bus/bus.ts"
import { canonical } from "../../../bus/canonical.ts"
import { ASK_PROGRESS, type Synced, syncedSubject } from "../../../bus/hints.ts"
import { resourceApis } from "../../../bus/kinds/all.ts"
import { core } from "../../../bus/kinds/core.ts"
import { headgate } from "../../../bus/kinds/installation.ts"
import { clock } from "../../../bus/kinds/ours.ts"
import { parseSubject, resourceSubject } from "../../../bus/subject.ts"
import { acquireLease, type Lease } from "../../../bus/unit/lease.ts"
import { followWanted, type Wants } from "../wanted/follow.ts"
import { Moments } from "../wanted/moments.ts"
import type { PlaneKeyOf } from "../wanted/plane-keys.ts"
import { Secrets } from "../wanted/secrets.ts"
import { Catalog, type Desired } from "./catalog.ts"
import type { FileFault } from "./claims.ts"
import type { EditTraces } from "./edit-trace.ts"
import { Folder } from "./folder.ts"
import type { ManifestOptions } from "./manifest.ts"
import { asNote } from "./notes.ts"
import { type Held, heldOf, Publisher, type Trouble } from "./publisher.ts"

export interface FilesAdapterOptions {
  readonly connect: (signal: AbortSignal) => Promise<Bus>
  /** Absolute paths. */
  readonly folders: readonly string[]
  readonly controllerNames: ManifestOptions["controllerNames"]
  readonly planeKeyOf: PlaneKeyOf
  /** Of the lease `adapter.files`. */
  readonly holder: string
  /** ms; default: the lease's. */
  readonly ttl?: number
  /** How long deleted objects are remembered, ms. */
  readonly forgetAfter: number
  readonly log: (line: Readonly<Record<string, unknown>> & { readonly message: string }) => void
  /** Undefined: tracing is off. */
  readonly edits?: EditTraces | undefined
}

export const LEASE = "adapter.files"

/** Runs until interrupted; then sends what is on its way, gives the lease back and closes. */
export const filesAdapter = (options: FilesAdapterOptions): Effect.Effect<never> =>
  Effect.gen(function* () {
    const source = new Source(options)
    yield* Effect.acquireRelease(Effect.sync(() => source.open()), () => Effect.sync(() => source.close()))
    const log = (level: string, message: string, reason: string) => Effect.sync(() => options.log({ level, message, reason }))
    return yield* Effect.scoped(session(options, source)).pipe(
      Effect.flatMap((reason) => log("warn", "session over", reason)),
      Effect.catch((error) => log("error", "session failed", error.message).pipe(Effect.andThen(Effect.suspend(() => Effect.sleep(200 + Math.random() * 200))))),
      Effect.forever,
    )
  }).pipe(Effect.scoped)

class SessionError extends Error {}

const attempt = <A>(run: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, SessionError> =>
  Effect.tryPromise({ try: run, catch: (cause) => new SessionError(cause instanceof Error ? cause.message : String(cause), { cause }) })

/** At the end of a session nothing may hold up the end. */
const closing = (run: () => Promise<void>): Effect.Effect<void> => attempt(run).pipe(Effect.timeout("2 seconds"), Effect.ignore)

/** Succeeds with why it ended. */
const session = Effect.fnUntraced(function* (options: FilesAdapterOptions, source: Source) {
  const began = performance.now()
  const over = yield* Deferred.make<string>()
  const end = (reason: string): void => void Deferred.doneUnsafe(over, Effect.succeed(reason))
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
  // Into an empty store files go as they are read. Where something stands, a file not read yet is not a file gone.
  if (held.size > 0) yield* attempt(() => source.ready)
  const { catalog } = source
  const publisher = yield* Effect.acquireRelease(
    Effect.sync(() => source.attach(new Publisher({
      bus, epoch: lease.epoch, desired: catalog.desired, held, onOver: end,
      onTrouble: (subject, trouble) => source.trouble(subject, trouble),
    }), held)),
    (attached) => Effect.sync(() => source.detach()).pipe(Effect.andThen(closing(() => attached.stop()))),
  )
  yield* attempt(() => source.ready)
  yield* attempt(() => publisher.settled())
  // Only after the whole list is stored may functions take absence for absence.
  source.markSynced(incarnation)
  yield* attempt(() => publisher.settled())
  yield* Effect.acquireRelease(Effect.sync(() => saySynced(bus, held)), (stop) => Effect.sync(stop))
  options.log({ level: "info", message: "in sync", files: catalog.files, resources: catalog.desired.size, published: publisher.published, epoch: lease.epoch, ms: Math.round(performance.now() - began) })
  yield* attempt(() => publisher.forget(options.forgetAfter)).pipe(
    Effect.catch((error) => Effect.sync(() => options.log({ level: "warn", message: "tombstones not forgotten", reason: error.message }))),
    Effect.repeat(Schedule.spaced("10 minutes")),
    Effect.forkScoped,
  )
  return yield* Deferred.await(over)
})

/** Once, and again whenever somebody asks. */
const saySynced = (bus: Bus, held: ReadonlyMap<string, Held>): (() => void) => {
  let resources = 0
  for (const { seq } of held.values()) resources = Math.max(resources, seq)
  const say = (): void => bus.hint(syncedSubject(LEASE), JSON.stringify({ resources } satisfies Synced))
  say()
  return bus.onHint(ASK_PROGRESS, say)
}

const SYNC_MARKS = "resource.sync.>"

const watchForLoss = (bus: Bus, end: (reason: string) => void): Effect.Effect<unknown, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => bus.follow({ stream: "RESOURCES", filter: SYNC_MARKS, from: "state", onMessage: () => undefined, onLost: (reason) => end(`the store was lost: ${reason}`) })),
    (following) => closing(() => following.stop()),
  )

interface TakenOver {
  readonly lease: Lease
  readonly held: Map<string, Held>
}

/** The lease, and then what the stream holds: nobody else changes that from here on. */
const takeOver = Effect.fnUntraced(function* (bus: Bus, options: FilesAdapterOptions, end: (reason: string) => void): Effect.fn.Return<TakenOver, SessionError, Scope.Scope> {
  let above = 0
  for (;;) {
    const lease = yield* Effect.acquireRelease(
      attempt((signal) => acquireLease(bus, {
        name: LEASE, holder: options.holder, above, signal, ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
        onWaiting: (holder) => options.log({ level: "info", message: "waiting for the lease", holder }),
        onLost: (reason, message) => end(`${reason}: ${message}`),
      })),
      (taken) => closing(() => taken.release()),
      { interruptible: true },
    )
    const held = yield* attempt(() => readHeld(bus))
    // Leases may have been lost where resources were not.
    for (const { own, epoch } of held.values()) if (own && epoch > above) above = epoch
    if (above <= lease.epoch) return { lease, held }
    yield* closing(() => lease.release())
  }
})

/** The last message of every resource. */
const readHeld = (bus: Bus): Promise<Map<string, Held>> =>
  new Promise((resolve, reject) => {
    const held = new Map<string, Held>()
    const following = bus.follow({
      stream: "RESOURCES",
      filter: "resource.>",
      from: "state",
      onMessage: (message) => void held.set(message.subject, heldOf(message)),
      onCaughtUp: () => queueMicrotask(() => void following.stop().then(() => resolve(held), reject)),
      onLost: (reason) => reject(new BusError("no-stream", `RESOURCES was lost: ${reason}`)),
    })
  })

/** What the adapter says itself, and not for a file. */
const OWN_KINDS = ["note", "sync", clock.name]

const NOTHING: ReadonlySet<string> = new Set()

/** The folders and what they ask for, with the publisher of the moment behind them. */
class Source {
  readonly catalog: Catalog
  readonly #folder: Folder
  readonly #secrets: Secrets
  readonly #moments: Moments
  readonly #log: FilesAdapterOptions["log"]
  readonly #edits: EditTraces | undefined
  #ready: Promise<void> | undefined
  #publisher: Publisher | undefined
  #marks: readonly string[] = []
  /** Subject of an object that cannot be published → that of the note on it. */
  readonly #troubles = new Map<string, string>()

  constructor({ folders, controllerNames, planeKeyOf, log, edits }: FilesAdapterOptions) {
    const secrets = new Secrets({ planeKeyOf, onChange: (keys) => {
      catalog.touch(keys.map((key) => resourceSubject(core.secret.name, key)))
      this.#flush()
    } })
    const catalog = new Catalog({ controllerNames }, secrets)
    this.catalog = catalog
    this.#secrets = secrets
    this.#moments = new Moments((moment, hasCome) => {
      const key = `/${moment}`
      catalog.say(resourceSubject(clock.name, key), hasCome ? { kind: clock.name, key, body: canonical({ moment }), version: "", source: "" } : undefined)
      this.#flush()
    })
    this.#log = log
    this.#edits = edits
    this.#folder = new Folder(folders, {
      content: (file, text, settled) => catalog.put(file, text, settled),
      missing: (file) => catalog.miss(file),
      gone: (file) => catalog.remove(file),
      fault: (file, fault) => catalog.fail(file, fault),
      folderFault: (folder, fault, holds) => {
        catalog.folder(folder, fault === undefined, holds)
        this.#folderFault(folder, fault)
      },
      batch: () => this.#flush(),
    }, edits)
  }

  /** When every file found at first has been read. */
  get ready(): Promise<void> {
    return (this.#ready ??= Promise.resolve())
  }

  open(): void {
    this.#ready = this.#folder.start()
  }

  close(): void {
    this.#folder.stop()
    this.#secrets.stop()
    this.#moments.stop()
  }

  want({ secrets, moments }: Wants): void {
    this.#secrets.want(secrets)
    this.#moments.want(moments)
  }

  /** Publishes what differs from `held`, and every change from now on. */
  attach(publisher: Publisher, held: ReadonlyMap<string, Held>): Publisher {
    for (const [subject, { own, body, source }] of held) {
      const parsed = parseSubject(subject)
      if (!own || body === undefined || parsed?.is !== "resource" || OWN_KINDS.includes(parsed.kind)) continue
      if (parsed.kind === core.secret.name) {
        this.#secrets.recall(parsed.key, body)
        this.catalog.touch([subject])
      }
      this.catalog.adopt(subject, { kind: parsed.kind, key: parsed.key, body, version: "", source })
    }
    for (const subject of [...this.#marks, ...this.#troubles.values()]) this.catalog.say(subject, undefined)
    this.#troubles.clear()
    this.catalog.settle()
    this.#publisher = publisher
    publisher.touch([...this.catalog.desired.keys(), ...held.keys()].filter((subject) => !subject.startsWith(SYNC_MARKS.slice(0, -1))))
    return publisher
  }

  detach(): void {
    this.#publisher = undefined
  }

  /** `sync` marks of every kind, also of those with no object: with files nobody says how gateways are run. */
  markSynced(incarnation: string): void {
    const marks = [...resourceApis.map(({ kind }) => kind), clock, headgate.installation].map((kind) => [resourceSubject("sync", `/${kind.name}`), { kind: "sync", key: `/${kind.name}`, body: canonical({ incarnation, complete: true }), version: "", source: "" } satisfies Desired] as const)
    this.#marks = marks.map(([subject]) => subject)
    for (const [subject, mark] of marks) this.catalog.say(subject, mark)
    this.catalog.settle()
    this.#publisher?.touch(this.#marks)
  }

  /** Notes why an object cannot be published, or takes that back. */
  trouble(about: string, trouble: Trouble | undefined): void {
    const parsed = parseSubject(about)
    if (parsed?.is !== "resource") return
    const known = this.#troubles.get(about)
    if (known !== undefined) this.catalog.say(known, undefined)
    this.#troubles.delete(about)
    if (trouble !== undefined) {
      const [namespace = "", name = ""] = parsed.key.split("/")
      const file = this.catalog.desired.get(about)?.source ?? ""
      const isForeign = trouble.reason === "OwnedByAnotherAdapter"
      const message = `${parsed.kind} ${parsed.key} ${isForeign ? "is published by another adapter, which stands" : `was refused by the bus: ${trouble.message}`}.`
      const fix = isForeign ? "Remove it here or there." : "Shorten the object."
      const [subject, note] = asNote(file, `${trouble.reason}/${parsed.kind}/${parsed.key}`, { severity: "error", reason: trouble.reason, message, about: { kind: parsed.kind, namespace, name }, fix, ...(file === "" ? {} : { file }) })
      this.catalog.say(subject, note)
      this.#troubles.set(about, subject)
    }
    this.#flush()
  }

  #folderFault(folder: string, fault: FileFault | undefined): void {
    const [subject, note] = asNote(folder, "folder", { severity: "error", ...(fault ?? { reason: "", message: "", fix: "" }), file: folder })
    // It is tried again every second, and said once.
    if (fault !== undefined && !this.catalog.desired.has(subject)) this.#log({ level: "error", message: fault.message })
    this.catalog.say(subject, fault === undefined ? undefined : note)
  }

  #flush(): void {
    const changed = this.catalog.settle()
    // What the first list brings is no change.
    const edit = this.#edits?.edit(this.#marks.length > 0 && this.#publisher !== undefined ? changed : NOTHING)
    this.#publisher?.touch(changed, edit)
  }
}
