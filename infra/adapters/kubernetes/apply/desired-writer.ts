/**
 * Makes objects be as functions desire them: by server-side apply, with force, as one field manager; where all of it
 * stands, nothing is sent. Takes away what is no longer desired, and only then: on a tombstone of this incarnation of
 * the store, of objects with our label, this very object and not its successor.
 */
import { resourceApis } from "../../../../bus/kinds/all.ts"
import type { Source } from "../../../../bus/kinds/config.ts"
import type { Desired } from "../../../../bus/kinds/desired.ts"
import type { KeyPair } from "../../nats/certificates.ts"
import { ApiError } from "../api-error.ts"
import { resourcePath } from "../client.ts"
import type { Json } from "../raw.ts"
import { isCertified, isWellCertified, withCertificate } from "./certified.ts"
import { desiredObject, isAsApplied, ownersOf } from "./desired-object.ts"
import { withGenerated } from "./generated.ts"
import { type Made, MANAGED_BY, type MadeObject } from "./made.ts"
import { apiVersionOf, madeKindByToken, madeKindOf, type MadeKind } from "./made-kinds.ts"
import { later } from "./observer.ts"
import { appliedFields } from "./owned-fields.ts"
import { Pace, type Outcome } from "./pace.ts"
import { list, member, text } from "./paths.ts"
import { refusalOf } from "./refusal.ts"
import { MANAGER, pauseOf, type Writing, WRITE_WITHIN } from "./writing.ts"

export interface DesiredWriterOptions extends Writing {
  readonly made: Made
  /** Who signs certificates, asked each time; undefined: there is nobody. Throws Error where it cannot be read. */
  readonly authority?: (() => KeyPair) | undefined
}

const SPACING = 200
const AT_ONCE = 8
const PAUSE = { first: 500, max: 120_000 }
/** In a row: then somebody is told. */
const CONFLICTS = 4

const BEFORE_PODS = ["serviceaccount", "secret"]

const DONE: Outcome = { is: "done" }
const NOT_NOW: Outcome = { is: "failed" }

export class DesiredWriter {
  readonly #options: DesiredWriterOptions
  readonly #pace: Pace
  /** By `<kind in lower case>/<namespace>/<name>`; undefined: deleted. */
  readonly #desired = new Map<string, Desired | undefined>()
  /** As the API server answered, until the watch has it. */
  readonly #answered = new Map<string, MadeObject>()
  /** Not all of what was applied stayed as applied (admission changed it): the object as it then was is taken for good. */
  readonly #settledFor = new Map<string, string>()
  /** Not made, because what they are to go with is not there. */
  readonly #orphans = new Set<string>()
  /** Conflicts in a row. */
  readonly #conflicts = new Map<string, number>()
  /** Requests that were sent to change something, since the start. */
  writes = 0

  constructor(options: DesiredWriterOptions) {
    this.#options = options
    this.#pace = new Pace({ perform: (id) => this.#perform(id), concurrency: AT_ONCE, spacing: SPACING, pause: PAUSE, mayBegin: () => options.mayWrite(), clock: options.clock })
  }

  /** By id of the entry. */
  want(id: string, desired: Desired | undefined): void {
    this.#desired.set(id, desired)
    this.#pace.touch(id, { anew: true })
  }

  /** By id; of all of a kind, `<kind>/`. */
  changed(id: string): void {
    if (!id.endsWith("/")) {
      // It is gone: what was answered before is no longer so.
      if (this.#options.made.get(id) === undefined) this.#answered.delete(id)
      if (this.#desired.has(id)) this.#pace.touch(id)
    } else for (const each of this.#desired.keys()) if (each.startsWith(id)) this.#pace.touch(each)
  }

  /** Of some object that others may be owned by. */
  ownerChanged(): void {
    const waiting = [...this.#orphans]
    // Before: what is still one says so at once.
    this.#orphans.clear()
    for (const id of waiting) this.#pace.touch(id)
  }

  /** Time has passed. */
  renew(): void {
    for (const [id, desired] of this.#desired) if (desired?.certificate !== undefined) this.#pace.touch(id)
  }

  resume(): void {
    this.#pace.resume()
  }

  settled(): Promise<void> {
    return this.#pace.settled()
  }

  stop(): Promise<void> {
    return this.#pace.stop()
  }

  async #perform(id: string): Promise<Outcome> {
    const desired = this.#desired.get(id)
    try {
      return desired === undefined ? await this.#remove(id) : await this.#apply(id, desired)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      // Somebody was quicker: what stands now is looked at again.
      const conflicts = error.status === 409 ? (this.#conflicts.get(id) ?? 0) + 1 : 0
      this.#conflicts.set(id, conflicts)
      this.#answered.delete(id)
      if (conflicts === 0 || conflicts >= CONFLICTS) this.#refused(id, desired, error)
      return pauseOf(error, this.#options.clock)
    }
  }

  async #apply(id: string, desired: Desired): Promise<Outcome> {
    const { made } = this.#options
    const kind = madeKindOf(desired)
    if (kind === undefined) return this.#noted(id, desired, "KindNotApplied", `${desired.apiVersion} ${desired.kind} is no kind of object that this adapter makes.`, "Leave it to somebody else.")
    if (!made.isSynced(kind.kind.toLowerCase())) return DONE
    const wanted = desiredObject(desired)
    const there = this.#there(id)
    if (there !== undefined && this.#stands(id, wanted, desired, there)) return this.#well(id)
    // It is on its way out, or would be at once: what comes after that is looked at then.
    if (text(there?.metadata, "deletionTimestamp") !== "") return DONE
    if (this.#isOrphan(wanted, desired)) {
      this.#orphans.add(id)
      return DONE
    }
    const foreign = there === undefined ? await this.#foreign(kind, desired) : undefined
    // Its pods would begin without, and the kubelet tries again late.
    if (kind.kind === "Deployment" && this.#comesLater(id)) return DONE
    if (foreign === true) return this.#noted(id, desired, "NotOurs", `${desired.kind} ${desired.namespace}/${desired.name} exists, made by somebody else, and is left alone.`, `Remove it, or label it ${MANAGED_BY}=${MANAGER}.`)
    const authority = desired.certificate === undefined ? undefined : this.#authority()
    if (typeof authority === "string") return this.#noted(id, desired, "NoAuthority", `Secret ${desired.namespace}/${desired.name} lacks a certificate for the bus: ${authority}.`, "Look whether the installation's nats-server runs: it makes the authority that signs.")
    const secret = desired.generated === undefined ? undefined : await this.#secret(kind, desired)
    if (!this.#options.mayWrite()) return NOT_NOW
    this.writes++
    const answer = await this.#send(kind, desired, this.#whole(wanted, desired, authority, secret), secret)
    const now: MadeObject = { uid: text(answer, "metadata", "uid"), resourceVersion: text(answer, "metadata", "resourceVersion"), metadata: member(answer, "metadata") }
    this.#answered.set(id, now)
    if (desired.generated !== undefined && secret === undefined) return this.#apply(id, desired)
    if (!isAsApplied(wanted, desired, now.metadata)) this.#settledFor.set(id, signatureOf(wanted, now))
    return this.#well(id)
  }

  #whole(wanted: Json, { generated, certificate }: Desired, authority: KeyPair | undefined, secret: unknown): Json {
    const made = withGenerated(wanted, generated, secret)
    return certificate === undefined || authority === undefined ? made : withCertificate(made, certificate.plane, authority, secret, this.#options.clock.wall())
  }

  #send(kind: MadeKind, { generated }: Desired, body: Json, secret: unknown): Promise<unknown> {
    const { api } = this.#options
    const at = (name?: string): string => resourcePath({ ...kind, namespace: text(body, "metadata", "namespace"), ...(name === undefined ? {} : { name }) })
    // Two who make a Secret at once must not both believe in their own keys: the second is refused here, and reads.
    if (generated !== undefined && secret === undefined) return api.request({ method: "POST", path: at(), query: { fieldManager: MANAGER }, timeout: WRITE_WITHIN, body })
    const fenced = secret === undefined ? body : { ...body, metadata: { ...memberOf(body), resourceVersion: text(secret, "metadata", "resourceVersion") } }
    return api.request({ method: "PATCH", path: at(text(body, "metadata", "name")), query: { fieldManager: MANAGER, force: true }, headers: { "content-type": "application/apply-patch+yaml" }, timeout: WRITE_WITHIN, body: fenced })
  }

  async #remove(id: string): Promise<Outcome> {
    const { made, api, mayWrite } = this.#options
    const [token = "", namespace = "", name = ""] = id.split("/")
    const kind = madeKindByToken(token)
    if (kind === undefined) return this.#forgotten(id)
    if (!made.isSynced(token)) return DONE
    const there = this.#there(id)
    // Without our label it is not seen, and not ours to take away.
    if (there === undefined) return this.#forgotten(id)
    if (text(there.metadata, "deletionTimestamp") !== "") return DONE
    if (!mayWrite()) return NOT_NOW
    this.writes++
    try {
      await api.request({ method: "DELETE", path: resourcePath({ ...kind, namespace, name }), timeout: WRITE_WITHIN, body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid: there.uid, resourceVersion: there.resourceVersion }, propagationPolicy: "Background" } })
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error
    }
    this.#answered.delete(id)
    return DONE
  }

  /** Something that its pods need is desired under its name, and not there yet, or not whole. */
  #comesLater(id: string): boolean {
    return BEFORE_PODS.map((token) => `${token}${id.slice(id.indexOf("/"))}`).some((other) => {
      const [desired, there] = [this.#desired.get(other), this.#there(other)]
      return desired !== undefined && (there === undefined || (desired.certificate !== undefined && !isCertified(there.metadata)))
    })
  }

  #there(id: string): MadeObject | undefined {
    const seen = this.#options.made.get(id)
    const own = this.#answered.get(id)
    // Before the watch has seen it at all.
    const newest = seen === undefined ? own : later(seen, own)
    if (newest !== own) this.#answered.delete(id)
    return newest
  }

  #stands(id: string, wanted: Json, desired: Desired, there: MadeObject): boolean {
    return this.#isInTime(desired, there) && (isAsApplied(wanted, desired, there.metadata) || this.#settledFor.get(id) === signatureOf(wanted, there))
  }

  /** Its certificate, where it has to have one. Without the authority there is no other to be had. */
  #isInTime({ certificate }: Desired, { metadata }: MadeObject): boolean {
    if (certificate === undefined) return true
    const authority = this.#authority()
    return typeof authority === "string" ? isCertified(metadata) : isWellCertified(metadata, authority, this.#options.clock.wall())
  }

  /** Or why there is none. */
  #authority(): KeyPair | string {
    try {
      return this.#options.authority?.() ?? "nobody signs any here"
    } catch (error) {
      return `who signs it cannot be read (${error instanceof Error ? error.message : String(error)})`
    }
  }

  /** What it is to go with has gone. */
  #isOrphan(wanted: Json, { namespace }: Desired): boolean {
    const { observer } = this.#options
    return ownersOf(wanted).some(({ kind, name, uid }) => {
      const api = resourceApis.find(({ kindName }) => kindName === kind)
      if (api === undefined || !observer.isSynced(api.kind.name)) return false
      return observer.get(api.kind.name, `${api.namespaced ? namespace : ""}/${name}`)?.uid !== uid
    })
  }

  /** An object of that name without our label: true, unless we applied it once; undefined: there is none. */
  async #foreign({ group, version, plural }: MadeKind, { namespace, name }: Desired): Promise<boolean | undefined> {
    try {
      const answer = await this.#options.api.request({ path: resourcePath({ group, version, plural, namespace, name }), headers: METADATA })
      const metadata = member(answer, "metadata")
      return text(metadata, "labels", MANAGED_BY) !== MANAGER && appliedFields(metadata, MANAGER) === undefined
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  async #secret({ group, version, plural }: MadeKind, { namespace, name }: Desired): Promise<unknown> {
    try {
      return await this.#options.api.request({ path: resourcePath({ group, version, plural, namespace, name }) })
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  #well(id: string): Outcome {
    this.#conflicts.delete(id)
    this.#options.notes.say(noteId(id), undefined)
    const pods = `deployment${id.slice(id.indexOf("/"))}`
    if (BEFORE_PODS.some((token) => id.startsWith(`${token}/`)) && this.#desired.has(pods)) this.#pace.touch(pods)
    return DONE
  }

  #forgotten(id: string): Outcome {
    if (this.#desired.get(id) === undefined) this.#desired.delete(id)
    this.#answered.delete(id)
    this.#settledFor.delete(id)
    return this.#well(id)
  }

  #refused(id: string, desired: Desired | undefined, error: ApiError): void {
    this.#options.log({ level: "warn", message: "a desired object was not made so", object: id, reason: error.message })
    const refusal = refusalOf(error)
    if (refusal === undefined) return
    if (desired === undefined) {
      const [token = "", namespace = "", name = ""] = id.split("/")
      const kind = madeKindByToken(token)?.kind ?? token
      return this.#options.notes.say(noteId(id), { severity: "error", reason: refusal.reason, about: { kind, namespace, name }, message: `${kind} ${namespace}/${name} was not deleted: ${error.message}`, fix: refusal.fix })
    }
    const { kind, namespace, name } = desired
    this.#noted(id, desired, refusal.reason, `${kind} ${namespace}/${name} was not applied: ${error.message}`, refusal.fix)
  }

  #noted(id: string, { source }: Desired, reason: string, message: string, fix: string): Outcome {
    this.#options.notes.say(noteId(id), { severity: "error", reason, message, about: source, fix })
    const regarding = this.#regarding(source)
    if (regarding !== undefined) this.#options.events.tell({ regarding, type: "Warning", reason, action: "Apply", note: message })
    return NOT_NOW
  }

  #regarding({ kind, namespace, name }: Source) {
    const api = resourceApis.find(({ kindName }) => kindName === kind)
    const uid = api === undefined ? undefined : this.#options.observer.get(api.kind.name, `${namespace}/${name}`)?.uid
    const version = api === undefined ? undefined : this.#options.observer.versionOf(api.kind.name)
    if (api === undefined || uid === undefined || version === undefined) return undefined
    return { apiVersion: apiVersionOf({ ...api, version, kind }), kind, namespace, name, uid }
  }
}

const METADATA = { accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json" }

const noteId = (id: string): string => `apply/desired/${id}`

const memberOf = (body: Json): Json => {
  const metadata = body["metadata"]
  return typeof metadata === "object" && metadata !== null ? { ...metadata } : {}
}

/** What was applied, and what of the object was ours right after. */
const signatureOf = (wanted: Json, { uid, metadata }: MadeObject): string =>
  JSON.stringify([uid, member(wanted, "metadata", "annotations"), appliedFields(metadata, MANAGER), list(metadata, "managedFields").length])
