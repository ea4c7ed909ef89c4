/**
 * A compressed radix tree over UTF-16 units. Trees share nodes: `update` copies the path it changes and leaves the
 * old tree as it was. How keys are walked (segment-wise prefixes, host suffixes) is match.ts's and host.ts's.
 */
export class RadixNode<V extends object> {
  /** What leads here from the parent; "" only at the root. */
  label: string
  value: V | null
  /** The first units of the children's labels, which differ, rising: a search touches one string and one child. */
  units: string
  /** In the order of `units`. */
  children: RadixNode<V>[]

  constructor(label: string, value: V | null, units: string, children: RadixNode<V>[]) {
    this.label = label
    this.value = value
    this.units = units
    this.children = children
  }
}

/** Nodes made during one batch of updates, which later updates of the same batch may change in place. */
export type Fresh = Set<object>

/** The tree with `change` applied to the value at `key` (null: none); null when nothing is left. */
export const update = <V extends object>(root: RadixNode<V> | null, key: string, change: (old: V | null) => V | null, fresh: Fresh): RadixNode<V> | null => {
  const top = root === null ? made(new RadixNode<V>("", null, "", []), fresh) : own(root, fresh)
  set(top, key, 0, change, fresh)
  return top.value === null && top.children.length === 0 ? null : top
}

/** The child whose label begins with `unit`, or null. */
export const childAt = <V extends object>(node: RadixNode<V>, unit: number): RadixNode<V> | null => {
  const { units } = node
  const at = indexFor(units, unit)
  return at < units.length && units.charCodeAt(at) === unit ? (node.children[at] ?? null) : null
}

/** Every value with its key, in key order. */
export function* entries<V extends object>(node: RadixNode<V> | null, before = ""): Generator<readonly [string, V]> {
  if (node === null) return
  const key = before + node.label
  if (node.value !== null) yield [key, node.value]
  for (const child of node.children) yield* entries(child, key)
}

const own = <V extends object>(node: RadixNode<V>, fresh: Fresh): RadixNode<V> => {
  if (fresh.has(node)) return node
  return made(new RadixNode(node.label, node.value, node.units, [...node.children]), fresh)
}

const made = <V extends object>(node: RadixNode<V>, fresh: Fresh): RadixNode<V> => {
  fresh.add(node)
  return node
}

/** `node` is owned; `at` is how much of the key leads to it. */
const set = <V extends object>(node: RadixNode<V>, key: string, at: number, change: (old: V | null) => V | null, fresh: Fresh): void => {
  if (at === key.length) {
    node.value = change(node.value)
    return
  }
  const { units } = node
  const index = indexFor(units, key.charCodeAt(at))
  const found = node.children[index]
  if (found === undefined || units.charCodeAt(index) !== key.charCodeAt(at)) {
    const value = change(null)
    if (value === null) return
    node.children.splice(index, 0, made(new RadixNode<V>(flat(key.slice(at)), value, "", []), fresh))
    node.units = flat(units.slice(0, index) + key.charAt(at) + units.slice(index))
    return
  }
  const shared = sharedLength(found.label, key, at)
  let child: RadixNode<V>
  if (shared === found.label.length) {
    child = own(found, fresh)
  } else {
    const lower = own(found, fresh)
    child = made(new RadixNode<V>(flat(lower.label.slice(0, shared)), null, lower.label.charAt(shared), [lower]), fresh)
    lower.label = flat(lower.label.slice(shared))
  }
  set(child, key, at + shared, change, fresh)
  const replacement = compressed(child, fresh)
  if (replacement === null) {
    node.children.splice(index, 1)
    node.units = flat(units.slice(0, index) + units.slice(index + 1))
  } else node.children[index] = replacement
}

/** A node without value has at least two children; one with fewer is merged or dropped. */
const compressed = <V extends object>(node: RadixNode<V>, fresh: Fresh): RadixNode<V> | null => {
  const only = node.children[0]
  if (node.value !== null || node.children.length > 1) return node
  if (only === undefined) return null
  const merged = own(only, fresh)
  merged.label = flat(node.label + merged.label)
  return merged
}

/** Where `unit` stands among rising units, or would. */
const indexFor = (units: string, unit: number): number => {
  let low = 0
  let high = units.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (units.charCodeAt(middle) < unit) low = middle + 1
    else high = middle
  }
  return low
}

const sharedLength = (label: string, key: string, at: number): number => {
  const limit = Math.min(label.length, key.length - at)
  let i = 1
  while (i < limit && label.charCodeAt(i) === key.charCodeAt(at + i)) i++
  return i
}

/** A slice keeps its parent alive and a concatenation is a tree: labels are read on every request, so copy them flat. */
const flat = (text: string): string => {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return text
  return Buffer.from(text, "latin1").toString("latin1")
}
