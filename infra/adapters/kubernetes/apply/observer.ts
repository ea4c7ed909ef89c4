/** What the watch has seen of the objects whose status is said: read only. */
import { member, number, text } from "./paths.ts"

export interface ObservedObject {
  readonly uid: string
  readonly resourceVersion: string
  readonly generation: number
  /** As it came. */
  readonly status: unknown
}

export interface Observer {
  /** By kind, as on the bus (`httproute`), and key. Undefined: it is not there, or, before `isSynced`, not known. */
  get(kind: string, key: string): ObservedObject | undefined
  /** Everything there is of a kind has been seen once. */
  isSynced(kind: string): boolean
  /** The version of the API in which a kind is watched: `v1`; undefined: not at all. */
  versionOf(kind: string): string | undefined
  /** Of objects that came, changed or went, and of kinds that are synced now (key ""). The function it returns ends it. */
  onChange(listener: (kind: string, key: string) => void): () => void
}

/** What of an object's JSON this half reads. `object`: as it came. */
export const observed = (object: unknown): ObservedObject => ({
  uid: text(object, "metadata", "uid"), resourceVersion: text(object, "metadata", "resourceVersion"), generation: number(object, "metadata", "generation"), status: member(object, "status"),
})

/**
 * The later of two versions of one object. Of one kind versions are whole numbers that rise (kubernetes.io/docs: resource versions
 * can be compared since 1.35, and are etcd's revisions before); where one is none, the first.
 */
export const later = <T extends { readonly uid: string; readonly resourceVersion: string }>(seen: T | undefined, own: T | undefined): T | undefined => {
  if (seen === undefined || own === undefined || seen.uid !== own.uid) return seen
  const [a, b] = [Number(seen.resourceVersion), Number(own.resourceVersion)]
  return Number.isSafeInteger(a) && Number.isSafeInteger(b) && b > a ? own : seen
}
