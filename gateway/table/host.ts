/**
 * Values by host pattern: exact, `*.suffix` (one or more labels before it), `*`. Immutable, like its parts.
 * A lookup allocates nothing: wildcard suffixes are a radix tree read from the host's end.
 */
import { Layered } from "./layered.ts"
import { RadixNode, childAt, entries as radixEntries, update, type Fresh } from "./radix.ts"

export const ANY_HOST = "*"

export class HostIndex<V extends object> {
  readonly exact: Layered<V>
  /** Keyed by the reversed suffix, its dot included: `moc.elpmaxe.` */
  readonly wildcard: RadixNode<V> | null
  readonly any: V | null

  private constructor(exact: Layered<V>, wildcard: RadixNode<V> | null, any: V | null) {
    this.exact = exact
    this.wildcard = wildcard
    this.any = any
  }

  static empty<V extends object>(): HostIndex<V> {
    return new HostIndex<V>(Layered.of<V>(), null, null)
  }

  get isEmpty(): boolean {
    return this.exact.size === 0 && this.wildcard === null && this.any === null
  }

  /** What stands under this very pattern. */
  at(pattern: string): V | undefined {
    if (pattern === ANY_HOST) return this.any ?? undefined
    if (!isWildcard(pattern)) return this.exact.get(pattern)
    const key = reversedSuffix(pattern)
    let node = this.wildcard
    let at = 0
    while (node !== null && at < key.length) {
      const child: RadixNode<V> | null = childAt(node, key.charCodeAt(at))
      if (child === null || !key.startsWith(child.label, at)) return undefined
      at += child.label.length
      node = child
    }
    return node?.value ?? undefined
  }

  /** By pattern; null removes. */
  with(changes: ReadonlyMap<string, V | null>, fresh: Fresh): HostIndex<V> {
    const exact = new Map<string, V | null>()
    let { wildcard, any } = this
    for (const [pattern, value] of changes) {
      if (pattern === ANY_HOST) any = value
      else if (isWildcard(pattern)) wildcard = update(wildcard, reversedSuffix(pattern), () => value, fresh)
      else exact.set(pattern, value)
    }
    return new HostIndex(this.exact.with(exact), wildcard, any)
  }

  /** The value of the most specific pattern that takes `host`: exact, then the longest suffix, then `*`. */
  mostSpecific(host: string): V | null {
    const exact = this.exact.get(host)
    if (exact !== undefined) return exact
    if (this.wildcard !== null) {
      const found = deepest(this.wildcard, host, 0)
      if (found !== null) return found
    }
    return this.any
  }

  *entries(): Generator<readonly [pattern: string, V]> {
    yield* this.exact.entries()
    for (const [key, value] of radixEntries(this.wildcard)) yield [`*${key.split("").reverse().join("")}`, value]
    if (this.any !== null) yield [ANY_HOST, this.any]
  }
}

/**
 * True when the child's label stands in `host` where the walk is, `at` units from its end, and something is left
 * before it: `*.example.com` does not take `.example.com`.
 */
export const continuesBackwards = (label: string, host: string, at: number): boolean => {
  if (at + label.length >= host.length) return false
  const last = host.length - 1 - at
  for (let i = 0; i < label.length; i++) if (label.charCodeAt(i) !== host.charCodeAt(last - i)) return false
  return true
}

const deepest = <V extends object>(node: RadixNode<V>, host: string, at: number): V | null => {
  if (at < host.length) {
    const child = childAt(node, host.charCodeAt(host.length - 1 - at))
    if (child !== null && continuesBackwards(child.label, host, at)) {
      const found = deepest(child, host, at + child.label.length)
      if (found !== null) return found
    }
  }
  return node.value
}

const isWildcard = (pattern: string): boolean => pattern.startsWith("*.")
const reversedSuffix = (pattern: string): string => pattern.slice(1).split("").reverse().join("")
