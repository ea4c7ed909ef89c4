/** Objects as people name them on a command line: `httproute/web`, `httproute shop/web`, `gw edge -n shop`. */
import { kinds as allKinds, resourceApis } from "../../bus/kinds/all.ts"
import { aliases } from "./get.ts"

export interface ObjectName {
  /** Subject token: `httproute`. */
  readonly kind: string
  /** `<namespace>/<name>`, `/<name>` where the kind has no namespaces. */
  readonly key: string
}

/** What is no such name; a sentence. */
export class NameError extends Error {
  override readonly name = "NameError"
}

/** The kind's subject token for what people call it; undefined for a word that is no resource kind. */
export const resourceKind = (word: string): string | undefined => {
  const lower = word.toLowerCase()
  const wanted = aliases[lower] ?? lower
  const api = resourceApis.find(({ kind, plural }) => kind.name === wanted || plural === wanted)
  return api?.kind.name ?? allKinds.find(({ stream, name }) => stream === "RESOURCES" && name === wanted)?.name
}

/** Of words as given: each `kind/name` or `kind/namespace/name` by itself, a kind alone with the word after it. Throws NameError. */
export const objectNames = (words: readonly string[], namespace: string | undefined): readonly ObjectName[] => {
  const names: ObjectName[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ""
    const slash = word.indexOf("/")
    const kindWord = slash < 0 ? word : word.slice(0, slash)
    const kind = resourceKind(kindWord)
    if (kind === undefined) throw new NameError(`"${kindWord}" is no kind of object; there are: ${resourceApis.map((api) => api.kind.name).join(", ")}`)
    const name = slash < 0 ? words[++i] : word.slice(slash + 1)
    if (name === undefined || name === "") throw new NameError(`which ${kind}? Write ${kind}/NAME or ${kind} NAMESPACE/NAME`)
    names.push({ kind, key: keyOf(kind, name, namespace) })
  }
  return names
}

const keyOf = (kind: string, name: string, namespace: string | undefined): string => {
  const isNamespaced = resourceApis.find((api) => api.kind.name === kind)?.namespaced !== false
  if (!isNamespaced) return `/${name.slice(name.lastIndexOf("/") + 1)}`
  return name.includes("/") ? name : `${namespace ?? "default"}/${name}`
}

/** `httproute shop/web`, `gatewayclass edge`. */
export const nameText = ({ kind, key }: ObjectName): string => `${kind} ${key.startsWith("/") ? key.slice(1) : key}`

/** Of `all` those most like `wanted`, nearest first: a slip of a few letters, or a part of it. */
export const closeTo = (wanted: string, all: Iterable<string>, most = 5): readonly string[] => {
  const last = (text: string): string => text.slice(text.lastIndexOf("/") + 1)
  const ranked = [...new Set(all)].flatMap((each) => {
    const far = Math.min(distance(wanted, each), distance(last(wanted), last(each)))
    const isPart = last(wanted).length > 1 && (last(each).includes(last(wanted)) || last(wanted).includes(last(each)))
    return far <= Math.max(1, Math.floor(last(wanted).length / 3)) ? [{ each, far }] : isPart ? [{ each, far: 100 + far }] : []
  })
  return ranked.sort((a, b) => a.far - b.far || (a.each < b.each ? -1 : 1)).slice(0, most).map(({ each }) => each)
}

/** Levenshtein. */
const distance = (a: string, b: string): number => {
  let before = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) row.push(Math.min((before[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (before[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)))
    before = row
  }
  return before[b.length] ?? 0
}
