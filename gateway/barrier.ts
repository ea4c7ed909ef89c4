/**
 * Decides when what functions committed may take effect. Referential and without cursors:
 *
 * B1 Clusters apply at once.
 * B2 is the functions': a demanded cluster has an entry even when it has no endpoint.
 * B3 Commits with routes or listeners queue per unit; at every change the longest prefix whose merged result names
 *    only clusters that are present and not removed goes live, as one swap.
 * B4 A removed cluster keeps serving while the applied table names it (table/clusters.ts), but it satisfies no B3.
 * B5 A commit waits at most `patience`; then it applies, and what it lacked is said.
 *
 * "Merged" is what counts: `endpoints` coalesces a demand that came and went to nothing, so a held commit may name a
 * cluster that will never come, while its successor no longer wants it. Only rows in the queue are looked at: a route
 * that is already live is not served better by holding others back.
 */
import type { Cluster, Listener, Route } from "../bus/kinds/config.ts"
import type { EntryChange } from "./entries.ts"

/** One verified commit of one unit, decoded. `commit` is the caller's and comes back when it took effect. */
export interface Offer<C> {
  readonly unit: string
  readonly commit: C
  readonly changes: readonly EntryChange[]
}

/** What takes effect now, as one swap. */
export interface Step<C> {
  readonly clusters: ReadonlyMap<string, Cluster | null>
  readonly listeners: ReadonlyMap<string, Listener | null>
  readonly routes: ReadonlyMap<string, Route | null>
  /** In order. */
  readonly commits: readonly Offer<C>[]
  /** Clusters named by commits that were out of patience, sorted. */
  readonly lacking: readonly string[]
}

/** B5, ms. */
export const PATIENCE = 2000

interface Held<C> {
  readonly offer: Offer<C>
  readonly since: number
}

export class Barrier<C> {
  readonly #patience: number
  /** Clusters that are there and not removed. */
  readonly #present = new Set<string>()
  readonly #queues = new Map<string, Held<C>[]>()
  #clusters = new Map<string, Cluster | null>()
  #passed: Offer<C>[] = []

  constructor(patience = PATIENCE) {
    this.#patience = patience
  }

  get held(): number {
    let held = 0
    for (const queue of this.#queues.values()) held += queue.length
    return held
  }

  /** Milliseconds on the caller's clock when `advance` must be called again; undefined: not before the next offer. */
  get deadline(): number | undefined {
    let first = Infinity
    for (const [head] of this.#queues.values()) if (head !== undefined) first = Math.min(first, head.since + this.#patience)
    return first === Infinity ? undefined : first
  }

  /** Takes the next commit of its unit; nothing takes effect before `advance`. */
  offer(offer: Offer<C>, now: number): void {
    let mayHold = this.#queues.has(offer.unit)
    for (const { section, id, entry } of offer.changes) {
      if (section !== "cluster") {
        mayHold = true
        continue
      }
      const cluster = entry?.section === "cluster" ? entry.value : null
      if (cluster === null) this.#present.delete(id)
      else this.#present.add(id)
      this.#clusters.set(id, cluster)
    }
    if (!mayHold) {
      this.#passed.push(offer)
      return
    }
    const queue = this.#queues.get(offer.unit)
    if (queue === undefined) this.#queues.set(offer.unit, [{ offer, since: now }])
    else queue.push({ offer, since: now })
  }

  /** What takes effect now; undefined: nothing. */
  advance(now: number): Step<C> | undefined {
    const commits = this.#passed
    const clusters = this.#clusters
    this.#passed = []
    this.#clusters = new Map()
    const released: Offer<C>[] = []
    const lacking = new Set<string>()
    for (const [unit, queue] of this.#queues) {
      const overdue = countOverdue(queue, now - this.#patience)
      const ready = overdue + this.#longestReady(queue, overdue)
      if (ready === 0) continue
      const going = queue.splice(0, ready)
      if (queue.length === 0) this.#queues.delete(unit)
      for (const { offer } of going) released.push(offer)
      if (overdue > 0) for (const id of this.#lackedBy(going)) lacking.add(id)
    }
    if (commits.length + released.length + clusters.size === 0) return undefined
    return { clusters, ...merged(released), commits: [...commits, ...released], lacking: [...lacking].sort() }
  }

  /**
   * Starts over for another fold that has these clusters: nothing is held any more, and what was present and is not
   * among them is removed with the next `advance`. Offers that follow may be differences only.
   */
  reset(present: ReadonlySet<string>): void {
    this.#clusters = new Map()
    for (const id of this.#present) if (!present.has(id)) this.#clusters.set(id, null)
    this.#present.clear()
    for (const id of present) this.#present.add(id)
    this.#queues.clear()
    this.#passed = []
  }

  /** How many commits after the first `from` go together: the most whose merged routes lack nothing. */
  #longestReady(queue: readonly Held<C>[], from: number): number {
    const named = new Map<string, readonly string[]>()
    let lacking = 0
    let longest = 0
    for (let i = from; i < queue.length; i++) {
      for (const { section, id, clusters } of queue[i]?.offer.changes ?? []) {
        if (section !== "route") continue
        lacking += this.#countAbsent(clusters) - this.#countAbsent(named.get(id) ?? [])
        named.set(id, clusters)
      }
      if (lacking === 0) longest = i + 1 - from
    }
    return longest
  }

  #countAbsent(clusters: readonly string[]): number {
    let absent = 0
    for (const id of clusters) if (!this.#present.has(id)) absent++
    return absent
  }

  #lackedBy(going: readonly Held<C>[]): ReadonlySet<string> {
    const named = new Map<string, readonly string[]>()
    for (const { offer } of going) for (const { section, id, clusters } of offer.changes) if (section === "route") named.set(id, clusters)
    const lacked = new Set<string>()
    for (const clusters of named.values()) for (const id of clusters) if (!this.#present.has(id)) lacked.add(id)
    return lacked
  }
}

const countOverdue = (queue: readonly Held<unknown>[], before: number): number => {
  let count = 0
  while (count < queue.length && (queue[count]?.since ?? Infinity) <= before) count++
  return count
}

const merged = (offers: readonly Offer<unknown>[]): Pick<Step<unknown>, "listeners" | "routes"> => {
  const listeners = new Map<string, Listener | null>()
  const routes = new Map<string, Route | null>()
  for (const { changes } of offers) {
    for (const { section, id, entry } of changes) {
      if (section === "listener") listeners.set(id, entry?.section === "listener" ? entry.value : null)
      else if (section === "route") routes.set(id, entry?.section === "route" ? entry.value : null)
    }
  }
  return { listeners, routes }
}
