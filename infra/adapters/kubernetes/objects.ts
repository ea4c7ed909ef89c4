/**
 * What the API server holds, and what of it is for the bus. Relevant are GatewayClasses of our controller, their
 * Gateways, routes that name one of these, Services that such a route names or that we made, their EndpointSlices,
 * Secrets that such a Gateway names, every Namespace, ReferenceGrant and GatewayParameters, and the definitions of the
 * Gateway API. Of others it is kept what they name, and their content as text, so that they can be published in the moment they become relevant.
 * No I/O: reflectors feed it, Publisher publishes `desired`.
 */
import { hash } from "node:crypto"
import { type ResourceApi, type ReadResult, readResource } from "../../../bus/kinds/all.ts"
import { core } from "../../../bus/kinds/core.ts"
import { gatewayApi, GATEWAY_GROUP } from "../../../bus/kinds/gateway-api.ts"
import { resourceSubject } from "../../../bus/subject.ts"
import { bodyOfResource } from "../publish/body.ts"
import type { Desired } from "../publish/desired.ts"
import { classOf, controllerOf, isMadeByUs, parentsOf, secretsOf, serviceOf, servicesOf } from "./leads.ts"
import { isJson, type Json, listOf, memberOf, type RawObject, textOf } from "./raw.ts"
import { References } from "./references.ts"

const GATEWAY_CLASS = gatewayApi.gatewayClass.name
const GATEWAY = gatewayApi.gateway.name
const ROUTES: readonly string[] = [gatewayApi.httpRoute.name, gatewayApi.grpcRoute.name]
const isRoute = (kind: string): boolean => ROUTES.includes(kind)
const SERVICE = core.service.name
const ENDPOINT_SLICE = core.endpointSlice.name
const SECRET = core.secret.name
const DEFINITION = core.customResourceDefinition.name

/** In this order changes are published, so that what is named is there before what names it; removals the other way round. */
const ORDER: readonly string[] = [DEFINITION, core.namespace.name, "referencegrant", "gatewayparameters", SECRET, ENDPOINT_SLICE, SERVICE, GATEWAY_CLASS, GATEWAY, ...ROUTES]
/** Kinds that have to be known before it is known what of a kind is relevant. */
export const DEPENDS: Readonly<Record<string, readonly string[]>> = {
  [GATEWAY]: [GATEWAY_CLASS], ...Object.fromEntries(ROUTES.map((kind) => [kind, [GATEWAY]])), [SERVICE]: ROUTES, [ENDPOINT_SLICE]: [SERVICE], [SECRET]: [GATEWAY],
}

/** An object as it is now. */
export interface ObjectView {
  readonly uid: string
  readonly resourceVersion: string
  /** Undefined for kinds that have none. */
  readonly generation: number | undefined
  /** As the API server sent it. */
  readonly status: unknown
}

interface Held {
  uid: string
  resourceVersion: string
  generation: number | undefined
  /** Also of what is not relevant: it may become so without a change, and what others said of it has to be known then. */
  status: unknown
  /** Of all but its status and version. */
  fingerprint: string
  /** JSON of what counts; undefined: what is desired of it says the same. */
  text: string | undefined
  isRelevant: boolean
  isOurs: boolean
  /** It leads to what was looked for in vain, or was not looked for yet, as of this fingerprint. */
  looked: string | undefined
}

export interface ObjectsOptions {
  readonly controllerName: string
  /** What is published of a Secret of these names; `body`: without content. */
  secretBody(key: string, body: string): string
  /** Functions want its content. */
  isWanted(secret: string): boolean
  /**
   * A relevant object names something that is not here. True: it is being looked for, and the object has to wait until
   * `release`; it may have been made a moment before, and be on its way.
   */
  isLookedFor(kind: string, keys: readonly string[], by: string): boolean
  /** What is wrong with an object, whole; [] when nothing is. */
  problems(api: ResourceApi, key: string, result: ReadResult | undefined): void
}

export class Objects {
  readonly #options: ObjectsOptions
  readonly #apis: ReadonlyMap<string, ResourceApi>
  readonly #held: ReadonlyMap<string, Map<string, Held>>
  readonly #desired = new Map<string, Desired>()
  readonly #classes = new References()
  /** Of routes, as those of backends: by `<kind>/<key>`. */
  readonly #parents = new References()
  /** Of relevant routes and Gateways alone. */
  readonly #backends = new References()
  readonly #certificates = new References()
  readonly #slices = new References()
  /** `<kind>/<key>` to look at again. */
  #touched = new Set<string>()
  #changed = new Set<string>()
  readonly #onView = new Set<(kind: string, key: string) => void>()

  constructor(apis: readonly ResourceApi[], options: ObjectsOptions) {
    this.#options = options
    this.#apis = new Map(apis.map((api) => [api.kind.name, api]))
    this.#held = new Map(apis.map((api) => [api.kind.name, new Map<string, Held>()]))
  }

  /** Subject → what should stand there. */
  get desired(): ReadonlyMap<string, Desired> {
    return this.#desired
  }

  has(kind: string, key: string): boolean {
    return this.#held.get(kind)?.has(key) === true
  }

  /** The object of this uid, also while nothing is desired of it: it waits for what it names, or cannot be read. */
  isRelevant(kind: string, key: string, uid: string): boolean {
    const held = this.#held.get(kind)?.get(key)
    return held !== undefined && held.isRelevant && held.uid === uid
  }

  resourceVersionOf(kind: string, key: string): string | undefined {
    return this.#held.get(kind)?.get(key)?.resourceVersion
  }

  /** Of an object that is relevant, was made by us, or bears our name in its status. */
  view(kind: string, key: string): ObjectView | undefined {
    const held = this.#held.get(kind)?.get(key)
    return held === undefined || !(held.isRelevant || held.isOurs) ? undefined : held
  }

  *views(kind: string): IterableIterator<readonly [string, ObjectView]> {
    for (const [key, held] of this.#held.get(kind) ?? []) if (held.isRelevant || held.isOurs) yield [key, held]
  }

  /** After each change of such an object, its end included, before it is published. */
  onView(changed: (kind: string, key: string) => void): () => void {
    this.#onView.add(changed)
    return () => this.#onView.delete(changed)
  }

  put(kind: string, { key, uid, resourceVersion, object }: RawObject): void {
    const all = this.#held.get(kind)
    if (all === undefined) return
    const metadata = memberOf(object, "metadata")
    const generation = typeof metadata["generation"] === "number" ? metadata["generation"] : undefined
    const before = all.get(key)
    // What kinds without a generation have in their status may count.
    const fingerprint = generation === undefined ? resourceVersion : fingerprintOf(uid, generation, metadata)
    const isOurs = this.#isOurs(kind, object)
    if (before !== undefined && before.fingerprint === fingerprint) {
      Object.assign(before, { resourceVersion, isOurs, status: object["status"] })
    } else {
      const held: Held = { uid, resourceVersion, generation, fingerprint, isOurs, status: object["status"], text: slim(object, kind), isRelevant: before?.isRelevant ?? false, looked: undefined }
      all.set(key, held)
      this.#lead(kind, key, object)
      if (kind === SERVICE && (before?.isOurs ?? false) !== isOurs) this.#touchSlices(key)
      this.#touch(kind, key)
    }
    this.#tell(kind, key, isOurs || before?.isOurs === true || before?.isRelevant === true)
  }

  gone(kind: string, key: string): void {
    const held = this.#held.get(kind)?.get(key)
    if (held === undefined) return
    this.#held.get(kind)?.delete(key)
    if (kind === GATEWAY) this.#classes.set(key, [])
    if (isRoute(kind)) this.#parents.set(`${kind}/${key}`, [])
    if (kind === ENDPOINT_SLICE) this.#slices.set(key, [])
    if (kind === SERVICE && held.isOurs) this.#touchSlices(key)
    this.#touch(kind, key)
    if (held.isRelevant) this.#changed.add(resourceSubject(kind, key))
    this.#flip(kind, key, held.isRelevant, false)
    const api = this.#apis.get(kind)
    if (api !== undefined) this.#options.problems(api, key, undefined)
    this.#tell(kind, key, held.isOurs || held.isRelevant)
  }

  /** What is published of it may be other, though it has not changed. */
  touch(kind: string, keys: Iterable<string>): void {
    for (const key of keys) this.#touch(kind, key)
  }

  /** What this one waited for is here, or is known not to be. */
  release(kind: string, key: string): void {
    this.#touch(kind, key)
  }

  /** Brings `desired` up to date; the subjects that changed since the last call, in the order in which to publish them. */
  settle(): readonly string[] {
    while (this.#touched.size > 0) {
      const touched = this.#touched
      this.#touched = new Set()
      for (const each of touched) {
        const slash = each.indexOf("/")
        this.#resolve(each.slice(0, slash), each.slice(slash + 1))
      }
    }
    if (this.#changed.size === 0) return []
    const changed = this.#changed
    this.#changed = new Set()
    return changed.size === 1 ? [...changed] : this.inOrder(changed)
  }

  /** What the adapter has to say itself. */
  say(subject: string, desired: Desired | undefined): void {
    this.#set(subject, desired)
  }

  /** As `settle` orders them. */
  inOrder(subjects: Iterable<string>): readonly string[] {
    const rank = (subject: string): number => {
      const place = ORDER.indexOf(subject.split(".", 2)[1] ?? "") + 1
      return this.#desired.has(subject) ? place : 2 * ORDER.length + 1 - place
    }
    return [...subjects].map((subject) => [rank(subject), subject] as const).sort(([a], [b]) => a - b).map(([, subject]) => subject)
  }

  #touch(kind: string, key: string): void {
    this.#touched.add(`${kind}/${key}`)
  }

  #touchSlices(service: string): void {
    for (const slice of this.#slices.sourcesOf(service)) this.#touch(ENDPOINT_SLICE, slice)
  }

  #tell(kind: string, key: string, concerns: boolean): void {
    if (concerns) for (const changed of this.#onView) changed(kind, key)
  }

  /** What it leads to, known from now on. */
  #lead(kind: string, key: string, object: Json): void {
    if (kind === GATEWAY) this.#classes.set(key, [classOf(object)])
    if (isRoute(kind)) this.#parents.set(`${kind}/${key}`, parentsOf(object))
    if (kind === ENDPOINT_SLICE) this.#slices.set(key, [serviceOf(object)])
  }

  #concernsUs(kind: string, key: string, held: Held): boolean {
    switch (kind) {
      case DEFINITION:
        return key.endsWith(`.${GATEWAY_GROUP}`)
      case GATEWAY_CLASS:
        return held.isOurs
      case GATEWAY:
        return this.#classes.targetsOf(key).some((each) => this.#held.get(GATEWAY_CLASS)?.get(each)?.isRelevant === true)
      case gatewayApi.httpRoute.name:
      case gatewayApi.grpcRoute.name:
        return this.#parents.targetsOf(`${kind}/${key}`).some((each) => this.#held.get(GATEWAY)?.get(each)?.isRelevant === true)
      case SERVICE:
        return held.isOurs || this.#backends.isNamed(key)
      case ENDPOINT_SLICE:
        return this.#slices.targetsOf(key).some((each) => this.#backends.isNamed(each) || this.#held.get(SERVICE)?.get(each)?.isOurs === true)
      case SECRET:
        return this.#certificates.isNamed(key) || this.#options.isWanted(key)
      default:
        return true
    }
  }

  #resolve(kind: string, key: string): void {
    const subject = resourceSubject(kind, key)
    const held = this.#held.get(kind)?.get(key)
    const api = this.#apis.get(kind)
    if (held === undefined || api === undefined) return this.#set(subject, undefined)
    const was = held.isRelevant
    held.isRelevant = this.#concernsUs(kind, key, held)
    if (was && !held.isRelevant) this.#changed.add(subject)
    if (held.isRelevant) this.#publish(api, key, held, subject)
    else this.#setAside(api, key, held, subject)
    if (was !== held.isRelevant) {
      this.#flip(kind, key, was, held.isRelevant)
      this.#tell(kind, key, true)
    }
  }

  /** Others are relevant by it, or no more. */
  #flip(kind: string, key: string, was: boolean, is: boolean): void {
    if (was === is) return
    if (kind === GATEWAY_CLASS) this.touch(GATEWAY, this.#classes.sourcesOf(key))
    if (kind === GATEWAY) {
      for (const route of this.#parents.sourcesOf(key)) this.#touched.add(route)
      if (!is) this.touch(SECRET, this.#certificates.set(key, []))
    }
    if (isRoute(kind) && !is) this.#touchServices(this.#backends.set(`${kind}/${key}`, []))
  }

  #touchServices(services: readonly string[]): void {
    for (const service of services) {
      this.#touch(SERVICE, service)
      this.#touchSlices(service)
    }
  }

  #publish(api: ResourceApi, key: string, held: Held, subject: string): void {
    const kind = api.kind.name
    const current = this.#desired.get(subject)
    if (held.text === undefined && kind !== SECRET) return
    const object: unknown = JSON.parse(held.text ?? current?.body ?? "{}")
    if (!isJson(object) || this.#waits(kind, key, held, object)) return
    if (kind === GATEWAY) this.touch(SECRET, this.#certificates.set(key, secretsOf(object)))
    if (isRoute(kind)) this.#touchServices(this.#backends.set(`${kind}/${key}`, servicesOf(object)))
    const result = readResource(api, object)
    this.#options.problems(api, key, result)
    // The last good version stays.
    if (!result.ok) return
    const plain = bodyOfResource(result.resource.value)
    const body = kind === SECRET ? this.#options.secretBody(key, plain) : plain
    if (kind !== SECRET) held.text = undefined
    this.#set(subject, { kind, key, body, version: held.resourceVersion, source: "", uid: held.uid, ...(held.generation === undefined ? {} : { generation: held.generation }) })
  }

  #waits(kind: string, key: string, held: Held, object: Json): boolean {
    if ((kind !== GATEWAY && !isRoute(kind)) || held.looked === held.fingerprint) return false
    held.looked = held.fingerprint
    const [of, keys] = kind === GATEWAY ? [SECRET, secretsOf(object)] as const : [SERVICE, servicesOf(object)] as const
    const missing = [...new Set(keys)].filter((each) => !this.has(of, each))
    return missing.length > 0 && this.#options.isLookedFor(of, missing, `${kind}/${key}`)
  }

  #setAside(api: ResourceApi, key: string, held: Held, subject: string): void {
    const current = this.#desired.get(subject)
    held.text ??= current?.body
    if (current === undefined) return
    this.#options.problems(api, key, undefined)
    this.#set(subject, undefined)
  }

  #set(subject: string, desired: Desired | undefined): void {
    const current = this.#desired.get(subject)
    if (desired === undefined ? !this.#desired.delete(subject) : (this.#desired.set(subject, desired), isSame(current, desired))) return
    this.#changed.add(subject)
  }

  /** A class of our controller, a Service made by us, a route with an entry of ours in its status. */
  #isOurs(kind: string, object: Json): boolean {
    const { controllerName } = this.#options
    if (kind === GATEWAY_CLASS) return controllerOf(object) === controllerName
    return kind === SERVICE ? isMadeByUs(object) : listOf(object["status"], "parents").some((each) => isJson(each) && textOf(each["controllerName"]) === controllerName)
  }
}

const isSame = (a: Desired | undefined, b: Desired): boolean => a !== undefined && a.body === b.body && a.uid === b.uid && a.generation === b.generation

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

const fingerprintOf = (uid: string, generation: number, { labels, annotations, deletionTimestamp }: Json): string => {
  const { [LAST_APPLIED]: _applied, ...rest } = isJson(annotations) ? annotations : {}
  return hash("sha1", JSON.stringify([uid, generation, labels, rest, deletionTimestamp]), "base64")
}

/**
 * Annotations of EndpointSlices tell when something changed, and nothing of what. Those of Secrets may hold a copy of the
 * content, as their labels may: nothing of either is kept.
 */
const slim = (object: Json, kind: string): string => {
  const { managedFields: _fields, ownerReferences: _owners, annotations, labels, ...metadata } = memberOf(object, "metadata")
  const { [LAST_APPLIED]: _applied, ...rest } = isJson(annotations) ? annotations : {}
  const { status, ...content } = object
  const kept = kind === SECRET ? {} : { labels, ...(kind === ENDPOINT_SLICE || Object.keys(rest).length === 0 ? {} : { annotations: rest }) }
  return JSON.stringify({ ...content, metadata: { ...metadata, ...kept }, ...(kind === SERVICE && status !== undefined ? { status } : {}) })
}
