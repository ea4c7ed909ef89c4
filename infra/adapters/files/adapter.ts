/** The file adapter: folders of manifests as a source of resources. */
import { Effect } from "effect"
import type { Bus } from "../../../bus/bus.ts"
import { canonical } from "../../../bus/canonical.ts"
import { core } from "../../../bus/kinds/core.ts"
import { clock } from "../../../bus/kinds/ours.ts"
import { parseSubject, resourceSubject } from "../../../bus/subject.ts"
import type { Desired } from "../publish/desired.ts"
import { troubleNote } from "../publish/note.ts"
import type { Held, Publisher, Trouble } from "../publish/publisher.ts"
import { publishing, type Source } from "../publish/session.ts"
import { SYNC_MARKS, syncedKinds, syncMark } from "../publish/sync-mark.ts"
import type { Wants } from "../wanted/follow.ts"
import { Moments } from "../wanted/moments.ts"
import type { PlaneKeyOf } from "../wanted/plane-keys.ts"
import { Secrets } from "../wanted/secrets.ts"
import { Catalog } from "./catalog.ts"
import type { FileFault } from "./claims.ts"
import type { EditTraces } from "./edit-trace.ts"
import { Folder } from "./folder.ts"
import type { ManifestOptions } from "./manifest.ts"
import { asNote } from "./notes.ts"

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
    const source = new FilesSource(options)
    yield* Effect.acquireRelease(Effect.sync(() => source.open()), () => Effect.sync(() => source.close()))
    return yield* publishing({ ...options, adapter: LEASE }, source)
  }).pipe(Effect.scoped)

/** What the adapter says itself, and not for a file. */
const OWN_KINDS = ["note", "sync", clock.name]

const NOTHING: ReadonlySet<string> = new Set()

/** The folders and what they ask for, with the publisher of the moment behind them. */
class FilesSource implements Source {
  readonly catalog: Catalog
  /** A file not read yet is not a file gone: into an empty store files go as they are read, into any other only once all are. */
  readonly isWholeOrNothing = true
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

  get desired(): ReadonlyMap<string, Desired> {
    return this.catalog.desired
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

  attach(publisher: Publisher, held: ReadonlyMap<string, Held>): void {
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
    publisher.touch([...this.catalog.desired.keys(), ...held.keys()].filter((subject) => !subject.startsWith(SYNC_MARKS)))
  }

  detach(): void {
    this.#publisher = undefined
  }

  /** `sync` marks of every kind, also of those with no object: with files nobody says how gateways are run. */
  markSynced(incarnation: string): void {
    const marks = syncedKinds.map((kind) => syncMark(kind, incarnation))
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
      const file = this.catalog.desired.get(about)?.source ?? ""
      const [subject, note] = asNote(file, `${trouble.reason}/${parsed.kind}/${parsed.key}`, { ...troubleNote(parsed.kind, parsed.key, trouble), ...(file === "" ? {} : { file }) })
      this.catalog.say(subject, note)
      this.#troubles.set(about, subject)
    }
    this.#flush()
  }

  summary(): Readonly<Record<string, unknown>> {
    return { files: this.catalog.files }
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
