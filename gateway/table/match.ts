/**
 * The routes of one host pattern of one listener, and the search through them:
 * priority (higher first) → exact path → regex (longer expression first) → longest prefix, segment-wise → late regex →
 * prefix `/` → precedes().
 * When a candidate's method, headers or query do not hold, the next one is tried. Immutable; searching allocates
 * nothing (regex programs and encoded query parameters excepted) and never looks at another path's candidates.
 *
 * Where a regex stands is left to implementations by the Gateway API. Between exact and prefix, because routes that
 * use one nearly always stand beside a `/` that takes everything else.
 */
import { type Candidate, precedes } from "./candidate.ts"
import { takes } from "./conditions.ts"
import { Layered } from "./layered.ts"
import { type RadixNode, childAt, entries, update, type Fresh } from "./radix.ts"
import type { RequestView, TableRule } from "./table.ts"

type Candidates = readonly Candidate[]
const NONE: Candidates = []

/** Candidates of one priority. */
interface Level {
  readonly priority: number
  readonly exact: Layered<Candidates> | null
  readonly regex: Candidates
  /** But `/`. */
  readonly prefix: RadixNode<Candidates> | null
  readonly late: Candidates
  /** Of prefix `/`. */
  readonly rest: Candidates
}

/** What comes and goes in one batch. Lists given are borrowed until a second one follows. */
export class HostChange {
  add: Candidates = NONE
  remove: Candidates = NONE
  #own: { add?: Candidate[]; remove?: Candidate[] } | undefined

  push(side: "add" | "remove", candidates: Candidates): void {
    if (this[side].length === 0) {
      this[side] = candidates
      return
    }
    this.#own ??= {}
    const own = (this.#own[side] ??= [...this[side]])
    for (const candidate of candidates) own.push(candidate)
    this[side] = own
  }
}

export class HostRoutes {
  /** Priorities falling; never empty in a table. */
  readonly #levels: readonly Level[]
  /** The one level that most hosts have. */
  readonly #only: Level | null

  private constructor(levels: readonly Level[]) {
    this.#levels = levels
    this.#only = levels.length === 1 ? (levels[0] ?? null) : null
  }

  static readonly empty = new HostRoutes([])

  /** Null when nothing is left. */
  with(change: HostChange, fresh: Fresh): HostRoutes | null {
    const levels: Level[] = []
    const touched = new Set<number>()
    for (const { priority } of change.add) touched.add(priority)
    for (const { priority } of change.remove) touched.add(priority)
    for (const level of this.#levels) if (!touched.has(level.priority)) levels.push(level)
    for (const priority of touched) {
      const level = changed(this.#levels.find((old) => old.priority === priority) ?? { priority, exact: null, regex: NONE, prefix: null, late: NONE, rest: NONE }, touched.size === 1 ? change : only(change, priority), fresh)
      if (level !== null) levels.push(level)
    }
    if (levels.length === 0) return null
    return new HostRoutes(levels.length === 1 ? levels : levels.sort((a, b) => b.priority - a.priority))
  }

  /** The highest priority below `ceiling` that occurs here; -Infinity: none. */
  below(ceiling: number): number {
    const levels = this.#levels
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i]
      if (level !== undefined && level.priority < ceiling) return level.priority
    }
    return -Infinity
  }

  /** The first that takes the request, all priorities. */
  find(request: RequestView): TableRule | null {
    if (this.#only !== null) return search(this.#only, request)
    const levels = this.#levels
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i]
      if (level === undefined) continue
      const rule = search(level, request)
      if (rule !== null) return rule
    }
    return null
  }

  /** Every candidate once, in no promised order: for explain.ts. */
  *candidates(): Generator<Candidate> {
    for (const { exact, regex, prefix, late, rest } of this.#levels) {
      for (const [, list] of exact?.entries() ?? []) yield* list
      yield* regex
      for (const [, list] of entries(prefix)) yield* list
      yield* late
      yield* rest
    }
  }

  /** The first of one priority that takes the request. */
  findAt(priority: number, request: RequestView): TableRule | null {
    const levels = this.#levels
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i]
      if (level !== undefined && level.priority === priority) return search(level, request)
    }
    return null
  }
}

const SLASH = 47

const search = (level: Level, request: RequestView): TableRule | null => {
  if (level.exact !== null) {
    const candidates = level.exact.get(request.path)
    if (candidates !== undefined) {
      const rule = first(candidates, request)
      if (rule !== null) return rule
    }
  }
  if (level.regex.length > 0) {
    const rule = first(level.regex, request)
    if (rule !== null) return rule
  }
  if (level.prefix !== null) {
    const rule = searchPrefix(level.prefix, request.path, 0, request)
    if (rule !== null) return rule
  }
  if (level.late.length > 0) {
    const rule = first(level.late, request)
    if (rule !== null) return rule
  }
  return level.rest.length > 0 ? first(level.rest, request) : null
}

/** Longer prefixes first; a prefix counts only where a segment ends. `at` units of the path led to `node`. */
const searchPrefix = (node: RadixNode<Candidates>, path: string, at: number, request: RequestView): TableRule | null => {
  if (at < path.length) {
    const child = childAt(node, path.charCodeAt(at))
    if (child !== null && path.startsWith(child.label, at)) {
      const rule = searchPrefix(child, path, at + child.label.length, request)
      if (rule !== null) return rule
    }
    if (path.charCodeAt(at) !== SLASH) return null
  }
  return node.value === null ? null : first(node.value, request)
}

const first = (candidates: Candidates, request: RequestView): TableRule | null => {
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i]
    if (candidate !== undefined && takes(candidate, request)) return candidate.rule
  }
  return null
}

const only = (change: HostChange, priority: number): HostChange => {
  const part = new HostChange()
  part.add = change.add.filter((candidate) => candidate.priority === priority)
  part.remove = change.remove.filter((candidate) => candidate.priority === priority)
  return part
}

const changed = (level: Level, change: HostChange, fresh: Fresh): Level | null => {
  let { regex, prefix, late, rest } = level
  let exact: Map<string, Candidates | null> | undefined
  const apply = (candidate: Candidate, edit: (list: Candidates | null) => Candidates | null): void => {
    const { path } = candidate
    if (path.type === "prefix" && path.value === "") rest = edit(rest) ?? NONE
    else if (path.type === "prefix") prefix = update(prefix, path.value, edit, fresh)
    else if (path.type === "regex" && path.isLate) late = edit(late) ?? NONE
    else if (path.type === "regex") regex = edit(regex) ?? NONE
    else {
      exact ??= new Map()
      const now = exact.get(path.value)
      exact.set(path.value, edit(now === undefined ? (level.exact?.get(path.value) ?? null) : now))
    }
  }
  for (const candidate of change.remove) apply(candidate, (list) => without(list, candidate))
  for (const candidate of change.add) apply(candidate, (list) => inserted(list, candidate, fresh))
  const newExact = exact === undefined ? level.exact : (level.exact ?? Layered.of<Candidates>()).with(exact)
  const next: Level = { priority: level.priority, exact: newExact === null || newExact.size === 0 ? null : newExact, regex, prefix, late, rest }
  return next.exact === null && regex.length === 0 && prefix === null && late.length === 0 && rest.length === 0 ? null : next
}

const without = (list: Candidates | null, candidate: Candidate): Candidates | null => {
  const rest = list?.filter((other) => other !== candidate) ?? []
  return rest.length === 0 ? null : rest
}

/** Lists made in this batch are in `fresh` and may grow in place. */
const inserted = (list: Candidates | null, candidate: Candidate, fresh: Fresh): Candidates => {
  if (list === null || list.length === 0) return [candidate]
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    const other = list[middle]
    if (other !== undefined && precedes(other, candidate) < 0) low = middle + 1
    else high = middle
  }
  if (fresh.has(list) && Array.isArray(list)) {
    list.splice(low, 0, candidate)
    return list
  }
  const copy = list.toSpliced(low, 0, candidate)
  fresh.add(copy)
  return copy
}
