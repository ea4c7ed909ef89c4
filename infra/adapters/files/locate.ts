/** Where in a file an object or one of its fields is written: for notes of functions, which know no files. */
import type { Source } from "../../../bus/kinds/config.ts"
import { isJson } from "../../../bus/kinds/json.ts"
import { isTooDeep, lineOfField, parseText, pathOfField, type FieldPath } from "./document.ts"
import { type Piece, splitDocuments } from "./split.ts"

/** Line from 1 of `about` in a file's text, or of `field` in it (or its nearest ancestor); undefined: not there. */
export type Locator = (about: Source, field: string | undefined) => number | undefined

/** What stands behind `name:` in a text, in block, flow and JSON style. */
const NAMES = /name"?[ ]*:[ ]*["']?([^\s"',}]+)/g

export const locator = (text: string): Locator => {
  const pieces = splitDocuments(text)
  // Most documents of a large file are not the one: they are not parsed.
  const byName = new Map<string, Piece[]>()
  for (const piece of pieces) {
    for (const name of new Set([...piece.text.matchAll(NAMES)].map((match) => match[1] ?? ""))) {
      const named = byName.get(name)
      if (named === undefined) byName.set(name, [piece])
      else named.push(piece)
    }
  }
  const among = (candidates: readonly Piece[], about: Source, field: string | undefined): number | undefined => {
    for (const piece of candidates) {
      if (!piece.text.includes(about.name) || !piece.text.includes(about.kind)) continue
      try {
        const line = lineIn(piece.text, about, field)
        if (line !== undefined) return piece.line - 1 + line
      } catch (error) {
        if (!isTooDeep(error)) throw error
      }
    }
    return undefined
  }
  return (about, field) => among(byName.get(about.name) ?? [], about, field) ?? among(pieces, about, field)
}

const lineIn = (text: string, about: Source, field: string | undefined): number | undefined => {
  const parsed = parseText(text)
  const found = parsed.ok ? findObject(parsed.value, about, []) : undefined
  return found && lineOfField(text, [...found.path, ...pathOfField(found.object, field ?? "metadata.name")])
}

const findObject = (value: unknown, about: Source, path: FieldPath): { readonly object: unknown; readonly path: FieldPath } | undefined => {
  if (!isJson(value)) return undefined
  if (Array.isArray(value["items"])) {
    for (const [i, item] of value["items"].entries()) {
      const found = findObject(item, about, [...path, "items", i])
      if (found !== undefined) return found
    }
    return undefined
  }
  const metadata = isJson(value["metadata"]) ? value["metadata"] : {}
  const namespace = about.namespace === "" ? "" : (metadata["namespace"] ?? "default")
  return value["kind"] === about.kind && metadata["name"] === about.name && namespace === about.namespace ? { object: value, path } : undefined
}
