/** The trace of one outside change, from when it is known what it leads to: a span for each object until it is stored. */
import { parseSubject } from "../../../bus/subject.ts"
import { attribute, MOST, spanName } from "../../../bus/trace/names.ts"
import { kind, wallNow } from "../../../bus/trace/span.ts"
import { traceparentOf, type OpenSpan, type Tracing } from "../../../bus/trace/tracing.ts"

/** `httproute shop/cart`; of several the first, and how many more. What is said about objects comes last. */
export const nameOf = (subjects: ReadonlySet<string>): string => {
  const [only = ""] = subjects
  if (subjects.size === 1 && !only.startsWith(NOTES)) return objectOf(only)
  const names = [...subjects].map(objectOf)
  const objects = names.filter((name) => !name.startsWith("note "))
  const [first = ""] = objects.length > 0 ? objects.sort() : [NOTE]
  return objects.length > 1 ? `${first} and ${objects.length - 1} more` : first
}

const NOTE = "note"
const NOTES = "resource.note."

const objectOf = (subject: string): string => {
  const parsed = parseSubject(subject)
  return parsed?.is === "resource" ? `${parsed.kind} ${parsed.key}` : subject
}

/** One change on its way to the bus. */
export class Edit {
  readonly #tracing: Tracing
  readonly #root: OpenSpan
  readonly #open = new Map<string, OpenSpan>()
  /** Of the object, where it is the only one. */
  readonly #name: string | undefined
  #left: number
  #spans = 0

  constructor(tracing: Tracing, root: OpenSpan, objects: number, name: string) {
    this.#name = objects === 1 && name !== NOTE ? name : undefined
    this.#tracing = tracing
    this.#root = root
    this.#left = objects
  }

  /** A message about `subject` is sent: the traceparent it carries. */
  publishing(subject: string): string {
    if (this.#spans >= MOST) return traceparentOf(this.#root)
    this.#spans++
    const span = this.#tracing.begin({ name: `${spanName.publish} ${this.#name ?? objectOf(subject)}`, kind: kind.producer, start: wallNow(), parent: this.#root, attributes: { "messaging.system": "nats", [attribute.subject]: subject } })
    this.#open.set(subject, span)
    return traceparentOf(span)
  }

  /** Nothing more comes of `subject`: stored at `seq`; undefined: there was nothing to store, or something else took its place. */
  settled(subject: string, seq: number | undefined): void {
    const at = wallNow()
    this.#open.get(subject)?.end(at, seq === undefined ? undefined : { [attribute.sequence]: String(seq) }, seq === undefined)
    this.#open.delete(subject)
    if (--this.#left > 0) return
    this.#root.end(at)
  }
}
