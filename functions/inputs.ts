/**
 * The bus → the engine: bodies are decoded once, here, each by its kind's Schema; inside they are trusted. Also knows
 * whether everything is there that the functions may derive from.
 */
import { Schema } from "effect"
import type { Message, StreamInfo } from "../bus/bus.ts"
import { bodyText, header, numberHeader } from "../bus/envelope.ts"
import { resourceApis } from "../bus/kinds/all.ts"
import { applied } from "../bus/kinds/applied.ts"
import { decoderOf } from "../bus/kinds/codec.ts"
import { kinds, type Note } from "../bus/kinds/config.ts"
import type { Kind } from "../bus/kinds/kind.ts"
import { sync } from "../bus/kinds/ours.ts"
import { parseSubject } from "../bus/subject.ts"
import type { UnitChange } from "../bus/unit/unit.ts"
import type { Engine } from "./engine/engine.ts"
import type { About } from "./engine/scope.ts"
import type { PassTraces } from "./pass-trace.ts"

const kindNames = new Map(resourceApis.map(({ kind, kindName }) => [kind.name, kindName]))

/** Notes name objects as people do: HTTPRoute, not httproute. */
export const aboutResource: About = ({ kind, key }) => {
  const name = kindNames.get(kind)
  const slash = key.indexOf("/")
  return name === undefined || slash < 0 ? undefined : { kind: name, namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

interface Decoder {
  readonly kind: Kind<unknown>
  readonly decode: (value: unknown) => unknown
}

const decoders = (all: readonly Kind<unknown>[], stream: Kind<unknown>["stream"]): ReadonlyMap<string, Decoder> =>
  new Map(all.filter((kind) => kind.stream === stream).map((kind) => [kind.name, { kind, decode: decoderOf(kind) }]))

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * What an API server says of an object in its metadata, and the file adapter beside the body: functions see
 * metadata.generation and metadata.uid wherever the object came from.
 */
const identify = (body: unknown, { headers }: Message): void => {
  const metadata = isRecord(body) ? body["metadata"] : undefined
  if (!isRecord(metadata)) return
  const generation = metadata["generation"] ?? numberHeader(headers, header.generation)
  if (generation !== undefined) metadata["generation"] = generation
  const uid = metadata["uid"] ?? headers[header.uid]
  if (uid !== undefined && uid !== "") metadata["uid"] = uid
}

const decodeSync = Schema.decodeUnknownSync(sync.schema)
const decodeFunction = Schema.decodeUnknownSync(kinds.function.schema)

export class Inputs {
  readonly #engine: Engine
  readonly #onChange: () => void
  readonly #resources: ReadonlyMap<string, Decoder>
  readonly #config: ReadonlyMap<string, Decoder>
  /** Of acks; undefined: no function reads them. */
  readonly #ack: Decoder | undefined
  /** The last ack of each pod, by key. */
  readonly #acks = new Map<string, { readonly seq: number; readonly time: number }>()
  #acksAreRead: boolean
  /** `<kind>/<key>` of values whose last body did not decode. */
  readonly unreadable = new Set<string>()
  /** Resource kind → the incarnation of RESOURCES an adapter has filled with it. */
  readonly #marks = new Map<string, string>()
  #resourcesIncarnation: string | undefined
  #unitsAreRead = false
  /** Config kind → functions that say they write it and have published what they first derived. */
  readonly #writers = new Map<string, Set<string>>()
  /** Entry subject → the function whose unit holds it. */
  readonly #owners = new Map<string, string>()
  readonly #traces: PassTraces | undefined
  /** Of the first change that no pass has taken up: read only when asked for. */
  #traceparent: (() => string | undefined) | undefined
  /** Highest sequence of a commit applied, by unit. */
  readonly #commits = new Map<string, number>()

  constructor(engine: Engine, onChange: () => void, traces?: PassTraces) {
    this.#engine = engine
    this.#traces = traces
    this.#onChange = onChange
    this.#resources = decoders(engine.inputs, "RESOURCES")
    this.#config = decoders(engine.inputs, "CONFIG")
    this.#ack = decoders(engine.inputs, "APPLIED").get(applied.name)
    this.#acksAreRead = this.#ack === undefined
  }

  /** Some function reads what gateways have acked. */
  get wantsAcks(): boolean {
    return this.#ack !== undefined
  }

  /** What was stored when the followers attached is here. What follows is new, and of an adapter's first list perhaps a part. */
  get isRead(): boolean {
    return this.#resourcesIncarnation !== undefined && this.#unitsAreRead && this.#acksAreRead
  }

  /** What is still missing before anything may be derived for others to see; sentences for people. */
  missing(): readonly string[] {
    const missing: string[] = []
    if (this.#resourcesIncarnation === undefined) missing.push("RESOURCES is being read")
    else for (const name of this.#resources.keys()) if (this.#marks.get(name) !== this.#resourcesIncarnation) missing.push(`no adapter has published all of ${name} yet`)
    if (!this.#unitsAreRead) missing.push("CONFIG is being read")
    else for (const [name, { kind }] of this.#config) if (kind.open !== true && (this.#writers.get(name)?.size ?? 0) === 0) missing.push(`no function has committed ${name} yet`)
    if (!this.#acksAreRead) missing.push("APPLIED is being read")
    return missing
  }

  /** The trace of the first change since the last call. */
  takeTraceparent(): string | undefined {
    const traceparent = this.#traceparent?.()
    this.#traceparent = undefined
    return traceparent
  }

  /** Sequence of the last commit of a unit that was applied, 0: none. */
  commitOf(plane: string, fn: string): number {
    return this.#commits.get(`${plane}/${fn}`) ?? 0
  }

  /** From RESOURCES. */
  resource(message: Message): void {
    const subject = parseSubject(message.subject)
    if (subject?.is !== "resource") return
    if (subject.kind === sync.name) this.#mark(subject.key, message)
    const decoder = this.#resources.get(subject.kind)
    if (decoder === undefined) return
    this.#stage(decoder, subject.key, message.data.length === 0 ? null : bodyText(message.data), message.seq, (body) => identify(body, message))
    this.#changed(() => message.headers[header.traceparent], message.time)
  }

  resourcesRead({ incarnation }: StreamInfo): void {
    this.#resourcesIncarnation = incarnation
    this.#onChange()
  }

  /** From CONFIG: a unit of a function that does not run here. */
  unit({ unit, seq, time, rows, traceparent }: UnitChange): void {
    let touched = false
    for (const [subject, body] of rows) {
      const entry = parseSubject(subject)
      if (entry?.is !== "entry") continue
      if (entry.section === kinds.function.name && entry.id === unit.fn) this.#declared(unit.fn, body)
      const decoder = this.#config.get(entry.section)
      if (decoder === undefined) continue
      const key = `${entry.plane}/${entry.id}`
      if (!this.#mayWrite(decoder.kind, subject, key, unit.fn, body !== null, seq)) continue
      this.#stage(decoder, key, body, seq)
      touched = true
    }
    this.#commits.set(`${unit.plane}/${unit.fn}`, seq)
    if (touched) this.#changed(() => traceparent, time)
    else this.#onChange()
  }

  /** From APPLIED. */
  ack(message: Message): void {
    const subject = parseSubject(message.subject)
    if (subject?.is !== "applied" || this.#ack === undefined) return
    const key = `${subject.plane}/${subject.pod}`
    const isThere = message.data.length > 0
    if (isThere) this.#acks.set(key, { seq: message.seq, time: message.time })
    else this.#acks.delete(key)
    this.#stage(this.#ack, key, isThere ? bodyText(message.data) : null, message.seq)
    this.#changed(() => message.headers[header.traceparent], message.time, true)
  }

  acksRead(): void {
    this.#acksAreRead = true
    this.#onChange()
  }

  /** Pods that have said nothing since `time` (ms since 1970) are gone until they say something again. */
  acksSince(time: number): void {
    if (this.#ack === undefined) return
    for (const [key, last] of this.#acks) {
      if (last.time >= time) continue
      this.#acks.delete(key)
      this.#stage(this.#ack, key, null, last.seq)
      this.#onChange()
    }
  }

  unitsRead(): void {
    this.#unitsAreRead = true
    this.#onChange()
  }

  #changed(traceparent: () => string | undefined, stored: number, isAck = false): void {
    this.#traceparent ??= traceparent
    // What was stored before this process came is no change now.
    if (this.#traces !== undefined && this.isRead) this.#traces.arrived(traceparent(), stored, isAck)
    this.#onChange()
  }

  #mark(key: string, message: Message): void {
    const name = key.slice(key.indexOf("/") + 1)
    try {
      const { incarnation, complete } = decodeSync(JSON.parse(bodyText(message.data)))
      if (complete) this.#marks.set(name, incarnation)
      else this.#marks.delete(name)
    } catch {
      // An unreadable or deleted mark says nothing, and so does no mark.
      this.#marks.delete(name)
    }
    this.#onChange()
  }

  #declared(fn: string, body: string | null): void {
    for (const writers of this.#writers.values()) writers.delete(fn)
    if (body === null) return
    try {
      for (const name of decodeFunction(JSON.parse(body)).writes) this.#writers.set(name, (this.#writers.get(name) ?? new Set()).add(fn))
    } catch {
      // Of a later version: it has not said, in words known here, that it is done.
    }
  }

  /** Of two functions that write one entry the first to come stands, and it is said. */
  #mayWrite(kind: Kind<unknown>, subject: string, key: string, fn: string, isThere: boolean, seq: number): boolean {
    const owner = this.#owners.get(subject) ?? fn
    const isOutside = kind.open === true && !key.startsWith(`${fn}/`, key.indexOf("/") + 1)
    const problem = owner !== fn ? `function ${owner} writes it` : isOutside ? `ids of ${kind.name} begin with the function's name and a slash` : undefined
    if (problem === undefined) {
      if (isThere) this.#owners.set(subject, fn)
      else this.#owners.delete(subject)
      return true
    }
    const message = `${kind.name} "${key}" of function ${fn} (sequence ${seq}) is left out: ${problem}.`
    this.#say(kind, `${key} of ${fn}`, isThere ? [{ schema: 1, severity: "error", reason: "ForeignEntry", message }] : [])
    return false
  }

  /** A body that does not decode changes nothing: the value before it stays, and a note says why. */
  #stage({ kind, decode }: Decoder, key: string, body: string | null, seq: number, complete?: (body: unknown) => void): void {
    const ref = `${kind.name}/${key}`
    let value: unknown
    try {
      if (body !== null) {
        const parsed: unknown = JSON.parse(body)
        complete?.(parsed)
        value = decode(parsed)
      }
    } catch (error) {
      this.unreadable.add(ref)
      const about = aboutResource({ kind: kind.name, key })
      const reason = error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, " ") : String(error)
      const message = `${ref} (sequence ${seq} of ${kind.stream}) is not a ${kind.name}: ${reason}. The value before it stays.`
      this.#say(kind, key, [{ schema: 1, severity: "error", reason: "Unreadable", message, ...(about === undefined ? {} : { about }) }])
      return
    }
    if (this.unreadable.delete(ref)) this.#say(kind, key, [])
    this.#engine.stage(kind, key, value, seq)
  }

  #say(kind: Kind<unknown>, key: string, notes: readonly Note[]): void {
    for (const fn of this.#engine.functions) if (fn.reads.includes(kind)) this.#engine.say(fn.name, { kind: kind.name, key }, notes)
  }
}
