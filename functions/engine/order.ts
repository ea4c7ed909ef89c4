import type { Kind } from "../../bus/kinds/kind.ts"
import type { Reconciler } from "../reconcile.ts"

const id = (kind: Kind<unknown>): string => `${kind.stream}/${kind.name}`

/** The way from `from` back to itself, as `routes -(demand)-> endpoints -(overlay)-> routes`. */
const cycle = (functions: readonly Reconciler[], from: Reconciler): string => {
  const walk = (at: Reconciler, path: readonly string[], seen: ReadonlySet<Reconciler>): string | undefined => {
    for (const kind of at.writes) {
      for (const next of functions) {
        if (!next.reads.includes(kind)) continue
        const text = [...path, `-(${kind.name})->`, next.name]
        if (next === from) return text.join(" ")
        const found = seen.has(next) ? undefined : walk(next, text, new Set([...seen, next]))
        if (found !== undefined) return found
      }
    }
    return undefined
  }
  return walk(from, [from.name], new Set([from])) ?? ""
}

const checkOne = (fn: Reconciler, notes: Kind<unknown>): void => {
  const repeated = [fn.reads, fn.writes].flatMap((kinds) => kinds.filter((kind, i) => kinds.indexOf(kind) !== i))
  if (repeated[0] !== undefined) throw new TypeError(`${fn.name}: "${repeated[0].name}" is listed twice`)
  const both = fn.reads.find((kind) => fn.writes.includes(kind))
  if (both !== undefined) throw new TypeError(`${fn.name} reads and writes "${both.name}": its output would be its own input`)
  if (fn.reads.includes(notes)) throw new TypeError(`${fn.name} reads "${notes.name}": every function writes notes, so it would read its own; notes are for people`)
  if (fn.writes.includes(notes)) throw new TypeError(`${fn.name} writes "${notes.name}": notes are said with read.note`)
}

const checkTogether = (functions: readonly Reconciler[]): void => {
  const kinds = new Map<string, Kind<unknown>>()
  const writers = new Map<Kind<unknown>, string>()
  const names = new Set<string>()
  for (const fn of functions) {
    if (names.has(fn.name)) throw new TypeError(`two functions are called "${fn.name}"`)
    names.add(fn.name)
    for (const kind of [...fn.reads, ...fn.writes]) {
      if ((kinds.get(id(kind)) ?? kind) !== kind) throw new TypeError(`two different kinds are called "${kind.name}"`)
      kinds.set(id(kind), kind)
    }
    for (const kind of fn.writes) {
      const other = writers.get(kind)
      if (other !== undefined && kind.open !== true) throw new TypeError(`both ${other} and ${fn.name} write "${kind.name}", which one function writes`)
      writers.set(kind, fn.name)
    }
  }
}

const checkLater = (functions: readonly Reconciler[]): void => {
  for (const fn of functions) {
    for (const kind of fn.later === true ? fn.writes : []) {
      const reader = functions.find((each) => each.later !== true && each.reads.includes(kind))
      if (reader !== undefined) throw new TypeError(`${reader.name} reads "${kind.name}" of ${fn.name}, which is derived later: declare ${reader.name} as later too`)
    }
  }
}

/**
 * Functions so that each comes after those whose kinds it reads, and those declared `later` after all others; equals by name. Throws TypeError for what no order
 * can serve: a cycle, two writers of a kind that has one, two functions or two kinds of one name.
 */
export const inOrder = (functions: readonly Reconciler[], notes: Kind<unknown>): readonly Reconciler[] => {
  for (const fn of functions) checkOne(fn, notes)
  checkTogether(functions)
  checkLater(functions)
  const waiting = [...functions].sort((a, b) => Number(a.later === true) - Number(b.later === true) || (a.name < b.name ? -1 : 1))
  const ordered: Reconciler[] = []
  while (waiting.length > 0) {
    const next = waiting.findIndex((fn) => !waiting.some((other) => other.writes.some((kind) => fn.reads.includes(kind))))
    const [fn] = waiting.splice(next < 0 ? 0 : next, 1)
    if (fn === undefined) break
    if (next < 0) {
      const way = [fn, ...waiting].map((from) => cycle(functions, from)).find((text) => text !== "")
      throw new TypeError(`functions depend on each other in a circle, so no order gives each its inputs first: ${way}`)
    }
    ordered.push(fn)
  }
  return ordered
}
