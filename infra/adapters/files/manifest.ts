/** From a document's text to the objects in it and everything wrong with them. Pure; the same text, the same answer. */
import { hash } from "node:crypto"
import { canonical } from "../../../bus/canonical.ts"
import { type ResourceApi, readResource, resourceApi, resourceApis } from "../../../bus/kinds/all.ts"
import type { Note } from "../../../bus/kinds/config.ts"
import { OWN_CONTROLLER } from "../../../bus/kinds/installation.ts"
import { isJson } from "../../../bus/kinds/json.ts"
import type { SecretContent } from "../../../bus/kinds/secret-content.ts"
import { MAX_PAYLOAD } from "../../../bus/streams.ts"
import { resourceSubject } from "../../../bus/subject.ts"
import { bodyOfResource } from "../publish/body.ts"
import { type FieldPath, isTooDeep, lineOfField, parseJson, parseText, pathOfField } from "./document.ts"

export interface ManifestObject {
  readonly subject: string
  readonly kind: string
  readonly kindName: string
  readonly namespace: string
  readonly name: string
  /** Canonical JSON, trimmed and defaulted. */
  readonly body: string
  /** Of a Secret. */
  readonly secret?: SecretContent
  /** Hash of the document's text; of `body` where a Secret is in the document, for a hash tells who guesses right. */
  readonly version: string
  /** Where it stands in the document: empty, or `["items", 3]` in a List. */
  readonly path: FieldPath
}

export interface ManifestProblem {
  readonly note: Omit<Note, "schema" | "file" | "line">
  /** Inside the text, from 1. */
  readonly line: number
}

export interface Manifest {
  readonly objects: readonly ManifestObject[]
  readonly problems: readonly ManifestProblem[]
  /** Subjects of objects that are named here and invalid: what was published of them before stays. */
  readonly blocked: readonly string[]
  /** True when it cannot be told which objects the text means: nothing that came from its file may be removed. */
  readonly broken: boolean
}

export interface ManifestOptions {
  /** Controller names whose GatewayClasses are ours; "any" takes all. */
  readonly controllerNames: ReadonlySet<string> | "any"
  readonly json?: boolean
}

/** Room for subject and headers in a message. */
const MAX_BODY = MAX_PAYLOAD - 16 * 1024

/** Never throws, whatever the text. */
export const readManifest = (text: string, options: ManifestOptions): Manifest => {
  try {
    return readText(text, options)
  } catch (error) {
    if (!isTooDeep(error)) throw error
    const note = { severity: "error", reason: "TooDeep", message: "This document is nested too deeply to be read.", fix: "Look for brackets that are opened again and again; until then the last good version stays in use." } as const
    return { objects: [], problems: [{ note, line: 1 }], blocked: [], broken: true }
  }
}

const readText = (text: string, options: ManifestOptions): Manifest => {
  const parsed = options.json === true ? parseJson(text) : parseText(text)
  if (!parsed.ok) {
    const problem: ManifestProblem = {
      note: { severity: "error", reason: options.json === true ? "InvalidJson" : "InvalidYaml", message: `This document cannot be parsed: ${parsed.message}`, fix: "Correct the syntax at this line; until then the last good version stays in use." },
      line: parsed.line,
    }
    return { objects: [], problems: [problem], blocked: [], broken: true }
  }
  return new ManifestReader(text, parsed.value, options).read()
}

const versionOf = (content: string): string => hash("sha256", content, "base64url").slice(0, 22)
/** What these match is quoted; a line of base64 is none. */
const KIND = /^[A-Za-z][A-Za-z0-9]{0,39}$/
const API_VERSION = /^(?:[a-z0-9.-]{1,253}\/)?[a-z0-9]{1,40}$/
const SECRETS = "resource.secret."

const text = (value: unknown): string => (typeof value === "string" ? value : "")

class ManifestReader {
  readonly #text: string
  readonly #value: unknown
  readonly #options: ManifestOptions
  readonly #objects: Omit<ManifestObject, "version">[] = []
  readonly #problems: ManifestProblem[] = []
  readonly #blocked: string[] = []
  #broken = false

  constructor(source: string, value: unknown, options: ManifestOptions) {
    this.#text = source
    this.#value = value
    this.#options = options
  }

  read(): Manifest {
    if (this.#value !== null) this.#item(this.#value, [])
    const holdsSecret = this.#objects.some(({ secret }) => secret !== undefined) || this.#blocked.some((subject) => subject.startsWith(SECRETS))
    const version = versionOf(this.#text)
    const objects = this.#objects.map((object) => ({ ...object, version: holdsSecret ? versionOf(object.body) : version }))
    return { objects, problems: this.#problems, blocked: this.#blocked, broken: this.#broken }
  }

  #problem(path: FieldPath, note: ManifestProblem["note"]): void {
    this.#problems.push({ note, line: lineOfField(this.#text, path) })
  }

  #item(item: unknown, path: FieldPath): void {
    if (!isJson(item)) {
      this.#broken = true
      this.#problem(path, { severity: "error", reason: "NotAnObject", message: `This is ${Array.isArray(item) ? "a list" : typeof item === "string" ? "text" : `a ${typeof item}`}, not an object with apiVersion, kind and metadata.`, fix: "Start with apiVersion: and kind: at the left margin." })
      return
    }
    const apiVersion = item["apiVersion"]
    const kindName = item["kind"]
    if (typeof kindName === "string" && kindName.endsWith("List") && Array.isArray(item["items"])) {
      for (const [index, each] of item["items"].entries()) this.#item(each, [...path, "items", index])
      return
    }
    if (typeof apiVersion !== "string" || typeof kindName !== "string" || !API_VERSION.test(apiVersion) || !KIND.test(kindName)) {
      const field = typeof kindName === "string" && KIND.test(kindName) ? "apiVersion" : "kind"
      this.#broken = true
      this.#problem([...path, field], { severity: "error", reason: "NotAnObject", message: `${field} is missing or not the name of one, so it cannot be told what this object is.`, field, fix: `Add ${field}, for example ${field === "kind" ? "kind: HTTPRoute" : "apiVersion: gateway.networking.k8s.io/v1"}.` })
      return
    }
    const api = resourceApi(apiVersion, kindName)
    if (api === undefined) this.#unknownKind(item, apiVersion, kindName, path)
    else this.#object(api, item, path)
  }

  #unknownKind(item: Readonly<Record<string, unknown>>, apiVersion: string, kindName: string, path: FieldPath): void {
    const metadata = isJson(item["metadata"]) ? item["metadata"] : {}
    const about = { kind: kindName, namespace: text(metadata["namespace"]), name: text(metadata["name"]) }
    const sameKind = resourceApis.find((each) => each.kindName === kindName)
    if (sameKind !== undefined) {
      const known = sameKind.versions.map((version) => (sameKind.group === "" ? version : `${sameKind.group}/${version}`))
      this.#problem([...path, "apiVersion"], { severity: "error", reason: "UnknownKind", message: `${kindName} of ${apiVersion} is not read here; ${kindName} of ${known.join(" or ")} is.`, about, field: "apiVersion", fix: `Write apiVersion: ${known[0]}.` })
      return
    }
    const near = resourceApis.find((each) => near1(each.kindName.toLowerCase(), kindName.toLowerCase()))
    if (near !== undefined) {
      this.#problem([...path, "kind"], { severity: "error", reason: "UnknownKind", message: `There is no kind ${kindName}.`, about, field: "kind", fix: `Did you mean kind: ${near.kindName}?` })
      return
    }
    this.#problem([...path, "kind"], {
      severity: NOT_FOR_US.test(apiVersion) ? "info" : "warning",
      reason: "UnknownKind",
      message: `${apiVersion} ${kindName} is not a kind Headgate reads, so this object is left aside.`,
      about,
      field: "kind",
      fix: `Check apiVersion and kind, or take the object elsewhere. Kinds read here: ${resourceApis.map((each) => each.kindName).join(", ")}.`,
    })
  }

  #object(api: ResourceApi, item: Readonly<Record<string, unknown>>, path: FieldPath): void {
    const metadata = isJson(item["metadata"]) ? item["metadata"] : {}
    const name = text(metadata["name"])
    const namespace = api.namespaced ? text(metadata["namespace"]) || "default" : ""
    const about = { kind: api.kindName, namespace, name }
    const at = (field: string): FieldPath => [...path, ...pathOfField(item, field)]
    const bytes = this.#text.length < MAX_BODY / 4 ? 0 : Buffer.byteLength(JSON.stringify(item))
    if (bytes > MAX_BODY) {
      this.#problem(path, { severity: "error", reason: "ObjectTooLarge", message: `${api.kindName} ${name} has ${bytes} bytes; at most ${MAX_BODY} fit into one event.`, about, fix: "Split it into several objects, or shorten its annotations." })
      return this.#block(api, namespace, name)
    }
    const read = readResource(api, api.kindName === "Namespace" ? withNameLabel(item) : item)
    for (const { field, reason, message, fix } of read.unknown) this.#problem(at(field), { severity: "warning", reason, message: sentence(message), about, field, fix })
    if (!read.ok) {
      for (const { field, reason, message, fix } of read.problems) this.#problem(at(field), { severity: "error", reason, message: sentence(message), about, field, fix })
      return this.#block(api, namespace, name)
    }
    if (api.kindName === "GatewayClass" && !this.#isOurs(item)) {
      const controller = isJson(item["spec"]) ? text(item["spec"]["controllerName"]) : ""
      this.#problem(at("spec.controllerName"), { severity: "info", reason: "OtherController", message: `GatewayClass ${name} belongs to the controller ${controller}, so Headgate leaves its Gateways alone.`, about, field: "spec.controllerName", fix: `Write controllerName: ${OWN_CONTROLLER}, or start with --controller-name ${controller}.` })
      return
    }
    const body = bodyOfResource(read.resource.value)
    this.#objects.push({
      subject: resourceSubject(api.kind.name, read.resource.key),
      kind: api.kind.name,
      kindName: api.kindName,
      namespace: read.resource.namespace,
      name: read.resource.name,
      body,
      ...(read.resource.secret === undefined ? {} : { secret: read.resource.secret }),
      path,
    })
  }

  /** The object is named and cannot be used: what was published of it stays. */
  #block(api: ResourceApi, namespace: string, name: string): void {
    if (name === "" || !name.isWellFormed() || !namespace.isWellFormed()) this.#broken = true
    else this.#blocked.push(resourceSubject(api.kind.name, `${namespace}/${name}`))
  }

  #isOurs(item: Readonly<Record<string, unknown>>): boolean {
    const controller = isJson(item["spec"]) ? item["spec"]["controllerName"] : undefined
    return this.#options.controllerNames === "any" || (typeof controller === "string" && this.#options.controllerNames.has(controller))
  }
}

/** Kubernetes' own groups: what stands beside routes in one folder is meant for others. */
const NOT_FOR_US = /^(?:v1|(?:apps|batch|autoscaling|policy|(?!gateway\.networking)[a-z.-]+\.k8s\.io)\/[a-z0-9]+)$/

/** An API server gives every Namespace this label; selectors by name rely on it. */
const withNameLabel = (item: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const metadata = item["metadata"]
  if (!isJson(metadata) || typeof metadata["name"] !== "string") return item
  const labels = isJson(metadata["labels"]) ? metadata["labels"] : {}
  return { ...item, metadata: { ...metadata, labels: { ...labels, "kubernetes.io/metadata.name": metadata["name"] } } }
}

/** The body of the Namespace that is made up for a namespace which objects use and no file declares. */
export const namespaceBody = (name: string): string => {
  const api = resourceApi("v1", "Namespace")
  const read = api === undefined ? undefined : readResource(api, withNameLabel({ metadata: { name } }))
  return canonical(read?.ok === true ? read.resource.value : { metadata: { name, namespace: "" } })
}

const sentence = (message: string): string => (/[.!?]$/.test(message) ? message : `${message}.`)

/** One letter more, less or other, or a plural. */
const near1 = (a: string, b: string): boolean => {
  if (a === b || `${a}s` === b || a === `${b}s` || `${a}es` === b) return true
  if (Math.abs(a.length - b.length) > 1) return false
  let i = 0
  while (i < a.length && a[i] === b[i]) i++
  const [x, y] = [a.slice(i), b.slice(i)]
  return x.slice(1) === y.slice(1) || x.slice(1) === y || x === y.slice(1) || (x.slice(0, 2) === `${y[1]}${y[0]}` && x.slice(2) === y.slice(2))
}
