/**
 * Says in objects' status what functions say it should be: at once, then one write at a time and at least 200 ms apart
 * an object, whatever changes meanwhile. It goes by what stands in the object: where that says the same but for times,
 * or is said of a newer generation, or where the object is another one, nothing is written.
 */
import { hash } from "node:crypto"
import type { Message } from "../../../../bus/bus.ts"
import { resourceApis } from "../../../../bus/kinds/all.ts"
import type { Status } from "../../../../bus/kinds/status.ts"
import { wallNow } from "../../../../bus/trace/span.ts"
import { ApiError } from "../api-error.ts"
import { resourcePath, type ResourceAddress } from "../client.ts"
import { timestamp } from "./conditions.ts"
import { later, observed, type ObservedObject } from "./observer.ts"
import { appliedFields, goBeyond } from "./owned-fields.ts"
import { Pace, type Outcome } from "./pace.ts"
import { isWhole, losesPods, statusPlan, worsened, type StatusPlan } from "./status-plan.ts"
import { refusalOf } from "./refusal.ts"
import type { WriteTraces } from "./write-trace.ts"
import { MANAGER, pauseOf, type Writing, WRITE_WITHIN } from "./writing.ts"

export interface StatusWriterOptions extends Writing {
  /** By controllerName. */
  isOwn(controllerName: string): boolean
  /** ms until every gateway pod has had time to say into this store what it serves; not above 0: it has. */
  untilAcked(): number
  /** Undefined: tracing is off. */
  readonly traces: WriteTraces | undefined
}

const SPACING = 200
const AT_ONCE = 16
const PAUSE = { first: 250, max: 60_000 }
/** Pods have so long to serve a new generation, ms, before it is said that what the one before had is served no longer. */
const NEW_GENERATION = 1_000
/** Reads of one object that somebody else is changing, before it is left alone for a while. */
const READS = 4

const DONE: Outcome = { is: "done" }
const NOT_NOW: Outcome = { is: "failed" }

interface Target {
  readonly id: string
  readonly kind: string
  readonly key: string
}

export class StatusWriter {
  readonly #options: StatusWriterOptions
  readonly #pace: Pace
  /** By `<kind>/<namespace>/<name>`; undefined: taken back. */
  readonly #wanted = new Map<string, Status | undefined>()
  /** As the API server answered a write, until the watch has it. */
  readonly #answered = new Map<string, ObservedObject>()
  /** What is besides ours in these is not ours: what was wanted and read when that was found out. */
  readonly #foreign = new Map<string, string>()
  /** Monotonic ms: when a new generation was first said to be served by nobody, where the one before was. */
  readonly #since = new Map<string, number>()
  readonly #off: () => void
  /** Requests that were sent to change something, since the start. */
  writes = 0

  constructor(options: StatusWriterOptions) {
    this.#options = options
    this.#pace = new Pace({
      perform: (id) => this.#perform(targetOf(id)), concurrency: AT_ONCE, spacing: SPACING, pause: PAUSE, clock: options.clock,
      mayBegin: () => options.mayWrite(),
      // Few, and many routes change them.
      isUrgent: (id) => isWhole(targetOf(id).kind),
    })
    this.#off = options.observer.onChange((kind, key) => this.#changed(kind, key))
  }

  /** By id of the entry. */
  want(id: string, status: Status | undefined, message: Message): void {
    this.#options.traces?.asked(id, message)
    this.#wanted.set(id, status)
    this.#pace.touch(id, { anew: true })
  }

  /** Whether it may write may have changed. */
  resume(): void {
    this.#pace.resume()
  }

  settled(): Promise<void> {
    return this.#pace.settled()
  }

  stop(): Promise<void> {
    this.#off()
    return this.#pace.stop()
  }

  #changed(kind: string, key: string): void {
    if (key !== "") {
      const id = `${kind}/${key}`
      if (this.#wanted.has(id)) this.#pace.touch(id)
      return
    }
    for (const id of this.#wanted.keys()) if (targetOf(id).kind === kind) this.#pace.touch(id)
  }

  async #perform(target: Target): Promise<Outcome> {
    const { kind, key } = target
    const { observer, clock } = this.#options
    // Comes back when it is known.
    if (!observer.isSynced(kind)) return DONE
    try {
      let object = this.#seen(target)
      for (let read = 0; read < READS; read++) {
        if (object === undefined) return this.#gone(target)
        const outcome = await this.#write(target, object)
        if (outcome !== "conflict") return outcome
        object = await this.#read(target)
      }
      return NOT_NOW
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.status === 404) return this.#gone(target)
      this.#refused(target, error)
      this.#options.log({ level: "warn", message: "a status was not written", object: `${kind} ${key}`, reason: error.message })
      return pauseOf(error, clock)
    }
  }

  #seen({ id, kind, key }: Target): ObservedObject | undefined {
    const seen = this.#options.observer.get(kind, key)
    const own = this.#answered.get(id)
    const newest = later(seen, own)
    if (newest !== own) this.#answered.delete(id)
    return newest
  }

  /** There is nothing to say anything of; when it comes again, so does this. */
  #gone({ id }: Target): Outcome {
    this.#answered.delete(id)
    this.#foreign.delete(id)
    this.#done(id)
    return DONE
  }

  async #write(target: Target, object: ObservedObject): Promise<Outcome | "conflict"> {
    const { id, kind } = target
    const { isOwn, clock, mayWrite, api } = this.#options
    const wanted = this.#wanted.get(id)
    const plan = await this.#checked(target, object, statusPlan(kind, wanted, object, isOwn, timestamp(clock.wall())))
    if (plan.is === "nothing") {
      this.#done(id)
      return DONE
    }
    const wait = this.#wait(id, wanted, object)
    if (wait > 0) return { is: "failed", after: wait }
    if (!mayWrite()) return NOT_NOW
    const address = this.#addressOf(target, "status")
    if (address === undefined) return NOT_NOW
    this.writes++
    const span = this.#options.traces?.begin(id)
    try {
      const answer = plan.is === "apply"
        ? await api.request({ method: "PATCH", path: resourcePath(address), query: { fieldManager: MANAGER, force: true }, headers: APPLY, timeout: WRITE_WITHIN, body: { apiVersion: apiVersionOf(address), kind: kindNameOf(kind), metadata: { ...named(address), uid: object.uid }, status: plan.status } })
        : await api.request({ method: "PATCH", path: resourcePath(address), query: { fieldManager: MANAGER }, headers: MERGE, timeout: WRITE_WITHIN, body: { metadata: { uid: object.uid, resourceVersion: object.resourceVersion }, status: { parents: plan.parents } } })
      this.#answered.set(id, observed(answer))
      span?.end(wallNow())
    } catch (error) {
      span?.end(wallNow(), undefined, true)
      if (error instanceof ApiError && error.status === 409) return "conflict"
      throw error
    }
    this.#done(id)
    this.#tell(target, address, wanted, object)
    return DONE
  }

  /** ms; not above 0: what no pod has been heard to serve is not served. */
  #wait(id: string, wanted: Status | undefined, object: ObservedObject): number {
    const loses = wanted === undefined ? undefined : losesPods(wanted, object)
    if (loses === undefined) return 0
    const untilAcked = this.#options.untilAcked()
    if (loses === "same") return untilAcked
    const now = this.#options.clock.monotonic()
    const since = this.#since.get(id) ?? now
    this.#since.set(id, since)
    return Math.max(untilAcked, since + NEW_GENERATION - now)
  }

  /** What is there besides may have been ours: the API server knows. Asked once for each thing that is read. */
  async #checked(target: Target, object: ObservedObject, plan: StatusPlan): Promise<StatusPlan> {
    if (plan.is !== "apply" || plan.unless === undefined) return plan
    const what = hash("sha256", JSON.stringify([plan.status, object.status, object.uid]))
    if (this.#foreign.get(target.id) === what) return { is: "nothing" }
    const address = this.#addressOf(target)
    if (address === undefined) return { is: "nothing" }
    const answer = await this.#options.api.request({ path: resourcePath(address) })
    const fields = appliedFields(answer !== null && typeof answer === "object" && "metadata" in answer ? answer.metadata : undefined, MANAGER, "status")
    if (fields !== undefined && goBeyond(fields, { status: plan.status })) return plan
    this.#foreign.set(target.id, what)
    return { is: "nothing" }
  }

  async #read(target: Target): Promise<ObservedObject | undefined> {
    const address = this.#addressOf(target)
    return address === undefined ? undefined : observed(await this.#options.api.request({ path: resourcePath(address) }))
  }

  #addressOf({ kind, key }: Target, subresource?: "status"): ResourceAddress | undefined {
    const api = apiOf(kind)
    const version = this.#options.observer.versionOf(kind)
    if (api === undefined || version === undefined) return undefined
    const slash = key.indexOf("/")
    return { group: api.group, version, plural: api.plural, namespace: key.slice(0, slash), name: key.slice(slash + 1), ...(subresource === undefined ? {} : { subresource }) }
  }

  #tell({ kind }: Target, address: ResourceAddress, wanted: Status | undefined, before: ObservedObject): void {
    for (const { reason, message } of worsened(kind, wanted, before)) {
      this.#options.events.tell({ regarding: { apiVersion: apiVersionOf(address), kind: kindNameOf(kind), namespace: address.namespace ?? "", name: address.name ?? "", uid: before.uid }, type: "Warning", reason, action: "UpdateStatus", note: message })
    }
  }

  #done(id: string): void {
    this.#since.delete(id)
    // What was taken back is so once.
    if (this.#wanted.get(id) === undefined) this.#wanted.delete(id)
    this.#options.notes.say(noteId(id), undefined)
    this.#options.traces?.done(id)
  }

  #refused({ id, kind, key }: Target, error: ApiError): void {
    const refusal = refusalOf(error)
    if (refusal === undefined) return
    const [namespace = "", name = ""] = key.split("/")
    this.#options.notes.say(noteId(id), {
      severity: "error", reason: refusal.reason, about: { kind: kindNameOf(kind), namespace, name },
      message: `The status of ${kindNameOf(kind)} ${key.replace(/^\//, "")} was not written: ${error.message}`, fix: refusal.fix,
    })
  }
}

const APPLY = { "content-type": "application/apply-patch+yaml" }
const MERGE = { "content-type": "application/merge-patch+json" }

const noteId = (id: string): string => `apply/status/${id}`

const targetOf = (id: string): Target => {
  const slash = id.indexOf("/")
  return { id, kind: id.slice(0, slash), key: id.slice(slash + 1) }
}

const apis = new Map(resourceApis.map((api) => [api.kind.name, api]))
const apiOf = (kind: string) => apis.get(kind)
const kindNameOf = (kind: string): string => apiOf(kind)?.kindName ?? kind
const apiVersionOf = ({ group, version }: ResourceAddress): string => (group === "" ? version : `${group}/${version}`)
const named = ({ namespace = "", name = "" }: ResourceAddress): { readonly name: string; readonly namespace?: string } => ({ name, ...(namespace === "" ? {} : { namespace }) })
