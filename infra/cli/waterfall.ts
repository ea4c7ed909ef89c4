/**
 * A trace as text, 100 columns: process, span, when it began, how long it took, and that as a bar. What no span
 * accounts for is said where it is longer than 2 ms.
 */
import { attribute, spanName } from "../../bus/trace/names.ts"
import { printable } from "./get.ts"
import type { SeenSpan } from "./trace-spans.ts"

const PROCESS = 13
const SPAN = 37
const NUMBER = 8
const BAR = 100 - PROCESS - SPAN - 2 * NUMBER - 4
/** Milliseconds. */
export const UNSAID = 2

export interface Gap {
  readonly from: number
  readonly to: number
  /** The span that was over last before it, and the one that began after it. */
  readonly before: SeenSpan
  readonly after: SeenSpan
}

const isContainer = ({ name, parentId }: SeenSpan): boolean => parentId === "" && name.startsWith(spanName.edit)

/** Times between the first span and the last that none accounts for, longer than `UNSAID`. The root, which lasts over others, does not count. */
export const gapsIn = (spans: readonly SeenSpan[]): readonly Gap[] => {
  const gaps: Gap[] = []
  let last: SeenSpan | undefined
  for (const span of spans.filter((each) => !isContainer(each)).sort((a, b) => a.from - b.from)) {
    if (last !== undefined && span.from - last.to > UNSAID) gaps.push({ from: last.to, to: span.from, before: last, after: span })
    if (last === undefined || span.to > last.to) last = span
  }
  return gaps
}

/** Of an edit: what each pod served it after, milliseconds since it began; the last ack of each. */
export const servedAfter = (spans: readonly SeenSpan[]): ReadonlyMap<string, number> => {
  const start = Math.min(...spans.map((span) => span.from))
  const pods = new Map<string, number>()
  for (const { name, to, failed, attributes } of spans) {
    const pod = attributes[attribute.pod]
    if (name === spanName.ack && !failed && typeof pod === "string") pods.set(pod, Math.max(pods.get(pod) ?? 0, to - start))
  }
  return pods
}

interface Placed {
  readonly span: SeenSpan
  readonly depth: number
}

/** Depth first, by time; what hangs on a span that is not there stands beside the root. */
const inOrder = (spans: readonly SeenSpan[]): readonly Placed[] => {
  const ids = new Set(spans.map(({ spanId }) => spanId))
  const below = Map.groupBy([...spans].sort((a, b) => a.from - b.from || a.to - b.to), ({ parentId }) => (ids.has(parentId) ? parentId : ""))
  const placed: Placed[] = []
  const place = (parent: string, depth: number): void => {
    for (const span of below.get(parent) ?? []) {
      placed.push({ span, depth })
      place(span.spanId, depth + 1)
    }
  }
  place("", 0)
  return placed
}

const cell = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width))
const figure = (milliseconds: number): string =>
  (milliseconds < 10_000 ? milliseconds.toFixed(2) : milliseconds < 3_600_000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${(milliseconds / 3_600_000).toFixed(1)} h`).padStart(NUMBER)

const barOf = (from: number, to: number, total: number, mark: string): string => {
  const scale = total > 0 ? BAR / total : 0
  const start = Math.min(BAR - 1, Math.max(0, Math.floor(from * scale)))
  const length = Math.max(1, Math.min(BAR - start, Math.round((to - from) * scale)))
  return " ".repeat(start) + mark.repeat(length)
}

/** What a name does not say. */
const detailOf = ({ name, attributes }: SeenSpan): string => {
  const revision = attributes[attribute.revision]
  const waited = attributes[attribute.clusters]
  if (name.startsWith(spanName.commit) && revision !== undefined) return ` rev ${revision}`
  if (name === spanName.held && waited !== undefined) return ` for ${waited}`
  return ""
}

/** The server tells time in whole milliseconds, and clocks of other machines differ: nothing is shown to come before what it follows from. */
const inTurn = (spans: readonly SeenSpan[]): readonly SeenSpan[] => {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  return spans.map((span) => {
    const from = Math.max(span.from, byId.get(span.parentId)?.from ?? 0)
    return from === span.from ? span : { ...span, from, to: Math.max(from, span.to) }
  })
}

/** `all` are not empty. */
export const waterfall = (all: readonly SeenSpan[]): string => {
  const spans = inTurn(all)
  const start = Math.min(...spans.map((span) => span.from))
  const total = Math.max(...spans.map((span) => span.to)) - start
  const row = (process: string, name: string, from: number, to: number, mark: string): string =>
    `${cell(process, PROCESS)} ${cell(printable(name), SPAN)} ${figure(Math.max(0, from - start))} ${figure(to - from)} ${barOf(from - start, to - start, total, mark)}`.trimEnd()
  const gaps = [...gapsIn(spans)]
  const lines = [`${"PROCESS".padEnd(PROCESS)} ${"SPAN".padEnd(SPAN)} ${"AT ms".padStart(NUMBER)} ${"TOOK ms".padStart(NUMBER)}`]
  for (const { span, depth } of inOrder(spans)) {
    for (const gap of gaps.filter(({ after }) => after === span)) {
      const what = gap.before.process === gap.after.process ? "not accounted for" : `not accounted for, on the way from ${gap.before.process}`
      lines.push(row("", `${"  ".repeat(depth)}(${what})`, gap.from, gap.to, "·"))
    }
    lines.push(row(span.process, `${"  ".repeat(depth)}${span.name}${detailOf(span)}${span.failed ? " (failed)" : ""}`, span.from, span.to, "█"))
  }
  const served = [...servedAfter(spans)].map(([pod, milliseconds]) => `${pod} ${milliseconds.toFixed(2)} ms`)
  const edits = spans.find((span) => span.links.length > 0)
  lines.push("", served.length === 0 ? `${total.toFixed(2)} ms; no gateway has served anything because of it.` : `Served after: ${served.join(", ")}`)
  if (edits !== undefined) lines.push(`One pass took up ${edits.links.length + 1} changes together; it goes on in the trace of the first.`)
  return `${lines.join("\n")}\n`
}
