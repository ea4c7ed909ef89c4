/** The API server as a source of resources: what is watched, what of it is published, and what functions want to see of it. */
import { canonical } from "../../../bus/canonical.ts"
import { type ReadResult, type ResourceApi, readResource, resourceApis } from "../../../bus/kinds/all.ts"
import type { Note } from "../../../bus/kinds/config.ts"
import { core } from "../../../bus/kinds/core.ts"
import { headgate, HEADGATE_GROUP, type Installation } from "../../../bus/kinds/installation.ts"
import { GATEWAY_GROUP } from "../../../bus/kinds/gateway-api.ts"
import { adapterNote as noteKind, clock, sync } from "../../../bus/kinds/ours.ts"
import type { SecretContent } from "../../../bus/kinds/secret-content.ts"
import { parseSubject, resourceSubject } from "../../../bus/subject.ts"
import { bodyOfResource } from "../publish/body.ts"
import type { Desired } from "../publish/desired.ts"
import { adapterNote, troubleNote } from "../publish/note.ts"
import type { Held, Publisher, Trouble } from "../publish/publisher.ts"
import type { Source } from "../publish/session.ts"
import { syncedKinds, syncMark } from "../publish/sync-mark.ts"
import type { Wants } from "../wanted/follow.ts"
import { Moments } from "../wanted/moments.ts"
import { Secrets } from "../wanted/secrets.ts"
import type { ApiClient } from "./client.ts"
import { Discovery } from "./discovery.ts"
import type { EditTraces } from "./edit-trace.ts"
import { KindWatch } from "./kind-watch.ts"
import { Lookups } from "./lookups.ts"
import { kindNote, objectNotes } from "./notes.ts"
import { DEPENDS, Objects } from "./objects.ts"
import type { Observer } from "./apply/observer.ts"
import { PlaneKeys } from "./plane-keys.ts"
import type { Json, RawObject } from "./raw.ts"
import type { ReflectorTiming } from "./reflector.ts"
import { SecretReads } from "./secret-reads.ts"

export interface KubernetesSourceOptions {
  readonly api: ApiClient
  readonly controllerName: string
  readonly installation: Installation
  /** Whose objects count, the installation's own among them; undefined: all. */
  readonly namespaces: readonly string[] | undefined
  readonly timing?: Partial<ReflectorTiming>
  /** ms between looks at which kinds there are. */
  readonly discovery?: { readonly absent: number; readonly present: number }
  readonly log: (line: Readonly<Record<string, unknown>> & { readonly message: string }) => void
  /** Undefined: tracing is off. */
  readonly edits?: EditTraces | undefined
}

const SECRET = core.secret.name
/** A slice stands for what Endpoints said, and the control plane mirrors those that people write. */
const watchedApis = resourceApis.filter(({ kind }) => kind !== core.endpoints)
const DEFINED: ReadonlySet<string> = new Set([GATEWAY_GROUP, HEADGATE_GROUP])
const METADATA_ONLY: ReadonlySet<string> = new Set([SECRET, core.customResourceDefinition.name])
const NAME = "kubernetes"
/** What the adapter says itself. */
const OWN_KINDS: ReadonlySet<string> = new Set([noteKind.name, sync.name, clock.name, headgate.installation.name])

/** Of a Secret that is wanted. */
interface ReadSecret {
  readonly body: string
  readonly content: SecretContent
}

export class KubernetesSource implements Source {
  readonly isWholeOrNothing = false
  /** For who writes into the cluster. */
  readonly observer: Observer
  readonly #options: KubernetesSourceOptions
  readonly #objects: Objects
  readonly #watches: ReadonlyMap<string, KindWatch>
  readonly #discovery: Discovery<ResourceApi>
  readonly #lookups: Lookups
  readonly #secrets: Secrets
  readonly #secretReads: SecretReads<ReadSecret | undefined>
  readonly #planeKeys: PlaneKeys
  readonly #moments: Moments
  readonly #ready = Promise.withResolvers<void>()
  readonly #listeners = new Set<(kind: string, key: string) => void>()
  #isWatching = false
  #isOpen = false
  #publisher: Publisher | undefined
  #held: ReadonlyMap<string, Held> = new Map()
  /** Of the session: the incarnation to mark, kinds marked, kinds whose absences are published. */
  #incarnation: string | undefined
  #marked = new Set<string>()
  #swept = new Set<string>()
  #wanted: ReadonlySet<string> = new Set()
  /** `<kind>/<key>` → subjects of the notes on it. */
  readonly #notes = new Map<string, readonly string[]>()
  readonly #said = new Map<string, string>()
  readonly #troubled = new Set<string>()
  /** Kinds as they were when listeners were told. */
  readonly #synced = new Set<string>()

  constructor(options: KubernetesSourceOptions) {
    this.#options = options
    const { api, controllerName, installation, namespaces, timing } = options
    const objects = new Objects(watchedApis, {
      controllerName,
      secretBody: (key, body) => this.#secretBody(key, body),
      isWanted: (key) => this.#wanted.has(key),
      isLookedFor: (kind, keys, by) => this.#isLookedFor(kind, keys, by),
      problems: (of, key, result) => this.#objectNotes(of, key, result),
    })
    this.#objects = objects
    this.#lookups = new Lookups({ api, done: (by) => {
      const slash = by.indexOf("/")
      objects.release(by.slice(0, slash), by.slice(slash + 1))
      this.#flush()
    } })
    this.#planeKeys = new PlaneKeys({ api, installation: installation.namespace, changed: () => {
      objects.touch(SECRET, this.#wanted)
      this.#flush()
    } })
    this.#secrets = new Secrets({ planeKeyOf: (plane) => this.#planeKeys.of(plane), onChange: (keys) => {
      objects.touch(SECRET, keys)
      this.#flush()
    } })
    this.#secretReads = new SecretReads({ api, keep: keepSecret, changed: (key) => {
      objects.touch(SECRET, [key])
      this.#flush()
    } })
    this.#moments = new Moments((moment, hasCome) => {
      const key = `/${moment}`
      objects.say(resourceSubject(clock.name, key), hasCome ? { kind: clock.name, key, body: canonical({ moment }), version: "", source: "" } : undefined)
      this.#flush()
    })
    this.#watches = new Map(watchedApis.map((of) => [of.kind.name, new KindWatch({
      api, of, namespaces, metadataOnly: METADATA_ONLY.has(of.kind.name), timing,
      put: (object) => this.#put(of.kind.name, object),
      gone: (key) => this.#gone(of.kind.name, key),
      batch: () => this.#flush(),
      changed: () => this.#kindChanged(of),
    })]))
    this.#discovery = new Discovery({
      api, kinds: watchedApis.filter(({ group }) => DEFINED.has(group)), ...(options.discovery === undefined ? {} : { every: options.discovery }),
      onFound: ({ kind }, version) => this.#watches.get(kind.name)?.serve(version),
    })
    const subject = resourceSubject(headgate.installation.name, "/")
    objects.say(subject, { kind: headgate.installation.name, key: "/", body: canonical(installation), version: "", source: "" })
    this.observer = {
      get: (kind, key) => {
        const view = objects.view(kind, key)
        return view && { ...view, generation: view.generation ?? 0 }
      },
      isSynced: (kind) => this.#watches.get(kind)?.state.is === "synced",
      versionOf: (kind) => this.#watches.get(kind)?.version,
      onChange: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
    }
    objects.onView((kind, key) => this.#tell(kind, key))
  }

  get desired(): ReadonlyMap<string, Desired> {
    return this.#objects.desired
  }

  /** Every kind has been listed, is absent, or may not be read. */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  /** Requests to the API server since the start, by kind. */
  get counts(): Readonly<Record<string, KindWatch["counts"]>> {
    return Object.fromEntries([...this.#watches].map(([kind, watch]) => [kind, watch.counts]))
  }

  /** Watches from now on; called again, nothing. `attach` does: who stands by asks the API server for nothing. */
  open(): void {
    if (this.#isWatching) return
    this.#isWatching = true
    for (const watch of this.#watches.values()) if (!DEFINED.has(watch.of.group)) watch.serve(watch.of.versions[0])
    this.#discovery.start()
  }

  close(): void {
    this.#discovery.stop()
    for (const watch of this.#watches.values()) watch.stop()
    this.#lookups.stop()
    this.#secretReads.stop()
    this.#planeKeys.stop()
    this.#secrets.stop()
    this.#moments.stop()
  }

  want({ secrets, moments }: Wants): void {
    const before = this.#wanted
    this.#wanted = new Set(secrets.keys())
    for (const key of before) if (!this.#wanted.has(key)) this.#secretReads.forget(key)
    this.#secrets.want(secrets)
    this.#moments.want(moments)
  }

  attach(publisher: Publisher, held: ReadonlyMap<string, Held>): void {
    for (const [subject, { own, body }] of held) {
      const parsed = parseSubject(subject)
      if (!own || body === undefined || parsed?.is !== "resource" || parsed.kind !== SECRET) continue
      this.#secrets.recall(parsed.key, body)
      this.#objects.touch(SECRET, [parsed.key])
    }
    for (const kind of this.#marked) this.#objects.say(syncMark(kind, "")[0], undefined)
    this.#marked = new Set()
    this.#swept = new Set()
    this.#incarnation = undefined
    for (const id of [...this.#said.keys()]) if (id.startsWith(TROUBLE)) this.say(id, undefined)
    this.#objects.settle()
    this.#publisher = publisher
    this.#held = held
    if (this.#isOpen) this.#publishAll()
    this.open()
  }

  detach(): void {
    this.#publisher = undefined
    this.#held = new Map()
    this.#incarnation = undefined
  }

  markSynced(incarnation: string): void {
    this.#incarnation = incarnation
    for (const kind of syncedKinds) {
      if (!this.#isWhole(kind) || this.#marked.has(kind)) continue
      this.#marked.add(kind)
      this.#objects.say(...syncMark(kind, incarnation))
    }
    this.#flush()
  }

  trouble(subject: string, trouble: Trouble | undefined): void {
    const parsed = parseSubject(subject)
    if (parsed?.is !== "resource") return
    this.say(`${TROUBLE}${parsed.kind}/${parsed.key}`, trouble === undefined ? undefined : troubleNote(parsed.kind, parsed.key, trouble))
  }

  summary(): Readonly<Record<string, unknown>> {
    return { unknown: [...this.#watches.keys()].filter((kind) => !this.#isWhole(kind)) }
  }

  /** A note of the adapter; undefined: over. */
  say(id: string, note: Omit<Note, "schema"> | undefined): void {
    const known = this.#said.get(id)
    if (note === undefined) {
      if (known === undefined) return
      this.#said.delete(id)
      this.#objects.say(known, undefined)
    } else {
      const [subject, desired] = adapterNote(NAME, id, note)
      this.#said.set(id, subject)
      this.#objects.say(subject, desired)
    }
    this.#flush()
  }

  #put(kind: string, object: RawObject): void {
    this.#options.edits?.noticed()
    if (kind === SECRET) this.#planeKeys.put(object)
    this.#objects.put(kind, object)
    this.#lookups.arrived(kind, object.key)
  }

  #gone(kind: string, key: string): void {
    this.#options.edits?.noticed()
    if (kind === SECRET) {
      this.#planeKeys.gone(key)
      this.#secretReads.forget(key)
      this.#secrets.forget(key)
    }
    this.#objects.gone(kind, key)
  }

  #secretBody(key: string, body: string): string {
    if (!this.#wanted.has(key)) return body
    const { value, fault } = this.#secretReads.read(key, this.#objects.resourceVersionOf(SECRET, key) ?? "")
    if (value !== undefined) return this.#secrets.bodyOf(key, value.body, value.content)
    return fault === undefined ? this.#secrets.bodyUnread(key, body) : this.#secrets.bodyKept(key, body, `The Secret cannot be read: ${fault}.`)
  }

  #isLookedFor(kind: string, keys: readonly string[], by: string): boolean {
    const of = this.#watches.get(kind)?.of
    // What is listed for the first time is not in step, and is published when all of it is here.
    if (!this.#isOpen || of === undefined) return false
    const { namespaces } = this.#options
    // Where nothing is watched nothing may be read, and nothing comes.
    const watched = namespaces === undefined ? keys : keys.filter((key) => namespaces.includes(key.slice(0, key.indexOf("/"))))
    if (watched.length > 0) this.#lookups.look(of, watched, by)
    return watched.length > 0
  }

  #objectNotes(of: ResourceApi, key: string, result: ReadResult | undefined): void {
    const id = `${of.kind.name}/${key}`
    const before = this.#notes.get(id)
    const after = result === undefined || (result.ok && result.unknown.length === 0) ? [] : objectNotes(of, key, result).map(([name, note]) => adapterNote(NAME, name, note))
    if (before === undefined && after.length === 0) return
    const subjects = after.map(([subject]) => subject)
    for (const subject of before ?? []) if (!subjects.includes(subject)) this.#objects.say(subject, undefined)
    for (const [subject, note] of after) this.#objects.say(subject, note)
    if (after.length === 0) this.#notes.delete(id)
    else this.#notes.set(id, subjects)
  }

  #kindChanged(of: ResourceApi): void {
    const watch = this.#watches.get(of.kind.name)
    if (watch === undefined) return
    const { state } = watch
    const note = kindNote(of, state, watch.version)
    if (note !== undefined && !this.#said.has(`${KIND}${of.kindName}`)) this.#options.log({ level: note.severity === "info" ? "info" : "warn", message: note.message })
    this.say(`${KIND}${of.kindName}`, note)
    this.#logTrouble(watch)
    if (state.is === "synced" && state.error?.status === 404) this.#discovery.askAgain()
    if (state.is === "synced" ? !this.#synced.has(of.kind.name) : this.#synced.delete(of.kind.name)) {
      if (state.is === "synced") this.#synced.add(of.kind.name)
      this.#tell(of.kind.name, "")
    }
    if (!this.#isOpen && [...this.#watches.values()].every(({ state: { is } }) => is !== "waiting")) this.#opened()
    this.#flush()
  }

  /** Once when it begins and once when it is over. */
  #logTrouble({ of: { kindName }, error }: KindWatch): void {
    if ((error === undefined) === !this.#troubled.has(kindName)) return
    if (error === undefined) this.#troubled.delete(kindName)
    else this.#troubled.add(kindName)
    this.#options.log(error === undefined ? { level: "info", message: "read again", kind: kindName } : { level: "warn", message: "not read at the moment", kind: kindName, status: error.status, reason: error.message })
  }

  #opened(): void {
    this.#objects.settle()
    this.#isOpen = true
    this.#publishAll()
    this.#ready.resolve()
  }

  #tell(kind: string, key: string): void {
    for (const listener of this.#listeners) listener(kind, key)
  }

  /** It is known of everything there is of the kind whether it is relevant. */
  #isWhole(kind: string): boolean {
    const watch = this.#watches.get(kind)
    return (watch === undefined || watch.isKnown) && (DEPENDS[kind] ?? []).every((each) => this.#isWhole(each))
  }

  #publishAll(): void {
    this.#publisher?.touch(this.#objects.inOrder(this.#objects.desired.keys()))
    this.#sweep()
  }

  #flush(): void {
    const changed = this.#objects.settle()
    // What the first list brings is no change; what waits for what it names is one still.
    const edit = changed.length === 0 && !this.#lookups.isIdle ? undefined : this.#options.edits?.edit(this.#incarnation === undefined ? [] : changed)
    if (!this.#isOpen || this.#publisher === undefined) return
    if (changed.length > 0) this.#publisher.touch(changed, edit)
    this.#sweep()
    this.#markLate()
  }

  /** What this adapter published once, and is there no more: said of a kind once all there is of it is known. */
  #sweep(): void {
    const now = [...syncedKinds, ...OWN_KINDS].filter((kind) => !this.#swept.has(kind) && kind !== sync.name && this.#isWhole(kind))
    if (now.length === 0 || this.#publisher === undefined) return
    const kinds = new Set(now)
    for (const kind of now) this.#swept.add(kind)
    const absent: string[] = []
    for (const [subject, { own, body, uid }] of this.#held) {
      const parsed = own && body !== undefined && !this.#objects.desired.has(subject) ? parseSubject(subject) : undefined
      // What waits for what it names, or cannot be read now, is not absent: what was published of it stays.
      if (parsed?.is === "resource" && kinds.has(parsed.kind) && !this.#objects.isRelevant(parsed.kind, parsed.key, uid)) absent.push(subject)
    }
    this.#publisher.touch(this.#objects.inOrder(absent))
  }

  /** Kinds that became known after the others. */
  #markLate(): void {
    const incarnation = this.#incarnation
    const publisher = this.#publisher
    if (incarnation === undefined || publisher === undefined || syncedKinds.every((kind) => this.#marked.has(kind) || !this.#isWhole(kind))) return
    this.#incarnation = undefined
    void publisher.settled().then(() => {
      if (this.#publisher === publisher) this.markSynced(incarnation)
    })
  }
}

const TROUBLE = "trouble/"
const KIND = "kind/"

const secretApi = resourceApis.find(({ kind }) => kind === core.secret)

/** Undefined: nothing of it can be used. */
const keepSecret = (_key: string, secret: Json): ReadSecret | undefined => {
  const read = secretApi && readResource(secretApi, secret)
  return read?.ok === true && read.resource.secret !== undefined ? { body: bodyOfResource(read.resource.value), content: read.resource.secret } : undefined
}
