/**
 * Decides when what functions committed may take effect. Referential and without cursors:
 *
 * B1 Clusters and certificates apply at once.
 * B2 is the functions': a demanded cluster has an entry even when it has no endpoint, a certificate when it is empty.
 *    One whose Secret has not been read yet (`NotRead`) is announced, and not there.
 * B3 Commits with routes or listeners queue per unit; at every change the longest prefix whose merged result names
 *    only clusters (routes) and certificates (listeners) that are present and not removed goes live, as one swap.
 * B4 A removed one keeps serving while the applied table names it (table/clusters.ts, tls/certificates.ts), but it
 *    satisfies no B3.
 * B5 A commit waits at most `patience`; then it applies, and what it lacked is said.
 *
 * "Merged" is what counts: `endpoints` coalesces a demand that came and went to nothing, so a held commit may name a
 * cluster that will never come, while its successor no longer wants it. Only rows in the queue are looked at: a route
 * that is already live is not served better by holding others back. Certificates are answered in the same way.
 */
import type { Certificate, Cluster, Listener, Route } from "../bus/kinds/config.ts"
import type { EntryChange } from "./entries.ts"
import type { Entry } from "./table/entry.ts"

/** One verified commit of one unit, decoded. `commit` is the caller's and comes back when it took effect. */
export interface Offer<C> {
  readonly unit: string
  readonly commit: C
  readonly changes: readonly EntryChange[]
}

/** Ids of what applies at once and may be waited for. */
export interface Referents<Ids> {
  readonly clusters: Ids
  readonly certificates: Ids
}

/** What takes effect now, as one swap. */
export interface Step<C> {
  readonly clusters: ReadonlyMap<string, Cluster | null>
  readonly certificates: ReadonlyMap<string, Certificate | null>
  readonly listeners: ReadonlyMap<string, Listener | null>
  readonly routes: ReadonlyMap<string, Route | null>
  /** In order. */
  readonly commits: readonly Offer<C>[]
  /** Named by commits that were out of patience, and absent; sorted. */
  readonly lacking: Referents<readonly string[]>
}

/** B5, ms. */
export const PATIENCE = 2000

interface Held<C> {
  readonly offer: Offer<C>
  readonly since: number
}

export class Barrier<C> {
  readonly #patience: number
  /** There and not removed. */
  readonly #present: Referents<Set<string>> = { clusters: new Set(), certificates: new Set() }
  readonly #queues = new Map<string, Held<C>[]>()
  #clusters = new Map<string, Cluster | null>()
  #certificates = new Map<string, Certificate | null>()
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
      if (section === "cluster") {
        this.#clusters.set(id, entry?.section === section ? entry.value : null)
        mark(this.#present.clusters, id, isPresent(entry))
      } else if (section === "certificate") {
        this.#certificates.set(id, entry?.section === section ? entry.value : null)
        mark(this.#present.certificates, id, isPresent(entry))
      } else mayHold = true
    }
    if (!mayHold) {
      this.#passed.push(offer)
      return
    }
    const queue = this.#queues.get(offer.unit)
    if (queue === undefined) this.#queues.set(offer.unit, [{ offer, since: now }])
    else queue.push({ offer, since: now })
  }

  /** Clusters and certificates that the commits of a unit wait for, sorted. */
  waitedFor(unit: string): readonly string[] {
    const lacking = { clusters: new Set<string>(), certificates: new Set<string>() }
    this.#lackedBy(this.#queues.get(unit) ?? [], lacking)
    return [...lacking.clusters, ...lacking.certificates].sort()
  }

  /** What takes effect now; undefined: nothing. */
  advance(now: number): Step<C> | undefined {
    const commits = this.#passed
    const clusters = this.#clusters
    const certificates = this.#certificates
    this.#passed = []
    this.#clusters = new Map()
    this.#certificates = new Map()
    const released: Offer<C>[] = []
    const lacking = { clusters: new Set<string>(), certificates: new Set<string>() }
    for (const [unit, queue] of this.#queues) {
      const overdue = countOverdue(queue, now - this.#patience)
      const ready = overdue + this.#longestReady(queue, overdue)
      if (ready === 0) continue
      const going = queue.splice(0, ready)
      if (queue.length === 0) this.#queues.delete(unit)
      for (const { offer } of going) released.push(offer)
      if (overdue > 0) this.#lackedBy(going, lacking)
    }
    if (commits.length + released.length + clusters.size + certificates.size === 0) return undefined
    return {
      clusters, certificates, ...merged(released), commits: [...commits, ...released],
      lacking: { clusters: [...lacking.clusters].sort(), certificates: [...lacking.certificates].sort() },
    }
  }

  /**
   * Starts over for another fold that has these: nothing is held any more, and what was present and is not among them
   * is removed with the next `advance`. Offers that follow may be differences only.
   */
  reset({ clusters, certificates }: Referents<ReadonlySet<string>>): void {
    this.#clusters = removed(this.#present.clusters, clusters)
    this.#certificates = removed(this.#present.certificates, certificates)
    this.#queues.clear()
    this.#passed = []
  }

  /** How many commits after the first `from` go together: the most whose merged routes and listeners lack nothing. */
  #longestReady(queue: readonly Held<C>[], from: number): number {
    const named = { route: new Map<string, readonly string[]>(), listener: new Map<string, readonly string[]>() }
    let lacking = 0
    let longest = 0
    for (let i = from; i < queue.length; i++) {
      for (const { section, id, named: ids } of queue[i]?.offer.changes ?? []) {
        if (section !== "route" && section !== "listener") continue
        const present = this.#presentFor(section)
        lacking += countAbsent(ids, present) - countAbsent(named[section].get(id) ?? [], present)
        named[section].set(id, ids)
      }
      if (lacking === 0) longest = i + 1 - from
    }
    return longest
  }

  /** What a route names are clusters, what a listener names certificates. */
  #presentFor(section: "route" | "listener"): ReadonlySet<string> {
    return section === "route" ? this.#present.clusters : this.#present.certificates
  }

  #lackedBy(going: readonly Held<C>[], lacking: Referents<Set<string>>): void {
    const named = { route: new Map<string, readonly string[]>(), listener: new Map<string, readonly string[]>() }
    for (const { offer } of going) for (const { section, id, named: ids } of offer.changes) if (section === "route" || section === "listener") named[section].set(id, ids)
    for (const ids of named.route.values()) for (const id of ids) if (!this.#present.clusters.has(id)) lacking.clusters.add(id)
    for (const ids of named.listener.values()) for (const id of ids) if (!this.#present.certificates.has(id)) lacking.certificates.add(id)
  }
}

/** Whether a cluster or certificate may be named: it is not removed, and its Secret was read (B2). */
export const isPresent = (entry: Entry | null): boolean => entry !== null && !(entry.section === "certificate" && entry.value.empty === "NotRead")

/** Makes `present` what `wanted` is; null for each that went. */
const removed = (present: Set<string>, wanted: ReadonlySet<string>): Map<string, null> => {
  const gone = new Map<string, null>()
  for (const id of present) if (!wanted.has(id)) gone.set(id, null)
  present.clear()
  for (const id of wanted) present.add(id)
  return gone
}

const mark = (present: Set<string>, id: string, isPresent: boolean): void => {
  if (isPresent) present.add(id)
  else present.delete(id)
}

const countAbsent = (ids: readonly string[], present: ReadonlySet<string>): number => {
  let absent = 0
  for (const id of ids) if (!present.has(id)) absent++
  return absent
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
