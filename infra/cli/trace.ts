/** `headgate trace <object | trace id>`: the newest trace of an object's last change, or any by its id. */
import type { Bus, Message } from "../../bus/bus.ts"
import { header } from "../../bus/envelope.ts"
import { CONTROL_PLANE } from "../../bus/kinds/config.ts"
import { AWAY_AFTER } from "../../bus/presence.ts"
import { parseSubject, resourceSubject } from "../../bus/subject.ts"
import { parseTraceparent } from "../../bus/trace/context.ts"
import { attribute, spanName } from "../../bus/trace/names.ts"
import { exit, failure } from "./command.ts"
import { NameError, nameText, objectNames } from "./object-name.ts"
import { otlpJson, spansIn, type SeenSpan } from "./trace-spans.ts"
import { waterfall } from "./waterfall.ts"

/** How long batches may be on their way: a process sends one a second. */
const LATE = 2_000
/** Between the clocks of who changed it and of the server, ms. */
const SKEW = 2_000
const REMEDY = `Traces are written where "headgate up --trace" (or HEADGATE_TRACES=on in each part) has switched them on, and kept for a day and 64 MiB.`

export interface TraceOptions {
  /** Kind and name, or an id or its beginning. */
  readonly words: readonly string[]
  readonly namespace: string | undefined
  readonly output: "waterfall" | "json"
}

/** Text to print. Throws CommandFailed. */
export const traceText = async (bus: Bus, { words, namespace, output }: TraceOptions): Promise<string> => {
  const spans = await find(bus, words, namespace)
  return output === "json" ? otlpJson(spans) : waterfall(spans)
}

const find = async (bus: Bus, words: readonly string[], namespace: string | undefined): Promise<readonly SeenSpan[]> => {
  const [id = ""] = words
  if (words.length === 1 && /^[0-9a-f]{6,32}$/.test(id)) return findById(bus, id)
  const { subject, name } = objectOf(words, namespace)
  const last = await bus.last("RESOURCES", subject)
  if (last === undefined) throw failure(`there is no ${name}`, exit.notFound)
  const context = parseTraceparent(last.headers[header.traceparent] ?? "")
  if (context === undefined) throw failure(`the last change of ${name} was not traced: tracing was off, or an adapter published it as it started. ${REMEDY}`)
  const isRecent = Date.now() - last.time < 2 * LATE
  const spans = await read(bus, await firstSince(bus, last.time - SKEW), isRecent, async (batches) => familyOf(batches, context.traceId))
  if (spans.length === 0) throw failure(`the trace ${context.traceId} of ${name} is not kept any more. ${REMEDY}`)
  return spans
}

const objectOf = (words: readonly string[], namespace: string | undefined): { readonly subject: string; readonly name: string } => {
  try {
    const [object] = objectNames(words, namespace)
    if (object === undefined) throw failure("which object, or which trace? httproute/shop/web, or an id or its beginning (six digits at least)", 2)
    return { subject: resourceSubject(object.kind, object.key), name: nameText(object) }
  } catch (error) {
    if (error instanceof NameError || error instanceof RangeError) throw failure(error.message, exit.notFound)
    throw error
  }
}

const findById = async (bus: Bus, prefix: string): Promise<readonly SeenSpan[]> => {
  const known = (batches: readonly string[]): ReadonlySet<string> => {
    const ids = new Set<string>()
    for (const batch of batches) if (batch.includes(`"${prefix}`)) for (const { traceId } of spansIn(batch)) if (traceId.startsWith(prefix)) ids.add(traceId)
    return ids
  }
  let ids: ReadonlySet<string> = new Set()
  const spans = await read(bus, 1, true, async (batches) => {
    ids = known(batches)
    const [id] = ids
    return id === undefined || ids.size > 1 ? [] : familyOf(batches, id)
  })
  if (ids.size > 1) throw failure(`${ids.size} traces begin with ${prefix}: ${[...ids].slice(0, 5).join(", ")}${ids.size > 5 ? ", …" : ""}`, exit.notFound)
  if (ids.size === 0) throw failure(`there is no trace ${prefix}. ${REMEDY}`, exit.notFound)
  return spans
}

/** Of a trace; and of the pass that took it up, where that continues the trace of another change. */
const familyOf = (batches: readonly string[], traceId: string): readonly SeenSpan[] => {
  const naming = (id: string): readonly SeenSpan[] => batches.filter((batch) => batch.includes(id)).flatMap((batch) => spansIn(batch))
  const mentioned = naming(traceId)
  const own = mentioned.filter((span) => span.traceId === traceId)
  const joining = mentioned.filter((span) => span.links.some((link) => link.traceId === traceId) && span.traceId !== traceId)
  if (joining.length === 0) return own
  const found = new Map(own.map((span) => [span.spanId, span]))
  for (const id of new Set(joining.map((span) => span.traceId))) {
    const others = naming(id).filter((span) => span.traceId === id)
    let below = new Set(joining.filter((span) => span.traceId === id).map(({ spanId }) => spanId))
    for (const span of others) if (below.has(span.spanId)) found.set(span.spanId, span)
    while (below.size > 0) {
      const next = others.filter((span) => below.has(span.parentId) && !found.has(span.spanId))
      for (const span of next) found.set(span.spanId, span)
      below = new Set(next.map(({ spanId }) => spanId))
    }
  }
  return [...found.values()]
}

/** Sequence of the first batch stored at `time` (ms) or later. */
const firstSince = async (bus: Bus, time: number): Promise<number> => {
  const { firstSeq, lastSeq } = await bus.info("TRACES")
  let [low, high] = [Math.max(firstSeq, 1), lastSeq + 1]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const message = await bus.at("TRACES", middle)
    if (message !== undefined && message.time >= time) high = middle
    else low = middle + 1
  }
  return low
}

/** Asks `choose` for the trace once everything stored is here, and while `mayGrow` again until it is whole or late. */
const read = async (bus: Bus, from: number, mayGrow: boolean, choose: (batches: readonly string[]) => Promise<readonly SeenSpan[]>): Promise<readonly SeenSpan[]> => {
  const batches: string[] = []
  const pods = await podsOf(bus)
  const caughtUp = Promise.withResolvers<void>()
  let news = Promise.withResolvers<void>()
  const following = bus.follow({
    stream: "TRACES", filter: "trace.>", from: { after: from - 1 },
    onMessage: (message) => {
      batches.push(new TextDecoder().decode(message.data))
      news.resolve()
    },
    onCaughtUp: () => caughtUp.resolve(),
    onLost: (reason) => caughtUp.reject(failure(`the store was lost: ${reason}`)),
  })
  const late = Promise.withResolvers<"late">()
  const timer = setTimeout(() => late.resolve("late"), LATE)
  try {
    await caughtUp.promise
    for (;;) {
      news = Promise.withResolvers<void>()
      const spans = await choose(batches)
      if (!mayGrow || isWhole(spans, pods) || (await Promise.race([news.promise, late.promise])) === "late") return await choose(batches)
    }
  } finally {
    clearTimeout(timer)
    await following.stop()
  }
}

/** By plane, the pods that have said something lately. */
const podsOf = (bus: Bus): Promise<ReadonlyMap<string, readonly string[]>> =>
  new Promise((resolve, reject) => {
    const acks: Message[] = []
    const following = bus.follow({
      stream: "APPLIED", filter: "applied.>", from: "state",
      onMessage: (message) => void acks.push(message),
      onCaughtUp: () => {
        queueMicrotask(() => void following.stop())
        const present = acks.flatMap((ack) => {
          const parsed = ack.data.length > 0 && Date.now() - ack.time < AWAY_AFTER ? parseSubject(ack.subject) : undefined
          return parsed?.is === "applied" ? [parsed] : []
        })
        resolve(new Map([...Map.groupBy(present, ({ plane }) => plane)].map(([plane, all]) => [plane, all.map(({ pod }) => pod)])))
      },
      onLost: (reason) => reject(failure(`the store was lost: ${reason}`)),
    })
  })

/** The change has led to commits, and each pod that is there has acked each of them. */
const isWhole = (spans: readonly SeenSpan[], pods: ReadonlyMap<string, readonly string[]>): boolean => {
  const isEdit = spans.some(({ name, parentId }) => parentId === "" && name.startsWith(spanName.edit))
  const commits = spans.filter(({ name }) => name.startsWith(spanName.commit)).flatMap(({ attributes }) => attributes[attribute.unit] ?? []).map(String).filter((unit) => !unit.startsWith(`${CONTROL_PLANE}/`))
  return isEdit && commits.length > 0 && commits.every((unit) =>
    (pods.get(unit.slice(0, unit.indexOf("/"))) ?? []).every((pod) => spans.some(({ name, attributes }) => name === spanName.ack && attributes[attribute.pod] === pod && attributes[attribute.unit] === unit)))
}
