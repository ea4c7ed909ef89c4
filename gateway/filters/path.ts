/** The path half of a redirect or rewrite (Gateway API HTTPPathModifier). */
import type { RequestView } from "../table/table.ts"

export interface PathChange {
  readonly type: "full" | "prefix"
  readonly value: string
}

/** The new path, without query. */
export type PathEdit = (request: RequestView) => string

/**
 * `matched` is the prefix the request's match named ("" for `/`, no trailing slash): a prefix edit replaces it and
 * keeps the rest, edge slashes as in the table of HTTPPathModifier.replacePrefixMatch. An exact match counts as the
 * prefix it equals.
 */
export const pathEdit = (change: PathChange, matched: string): PathEdit => {
  const value = encodePath(change.value)
  if (change.type === "full") {
    const path = value.startsWith("/") ? value : `/${value}`
    return () => path
  }
  const start = value === "" || value.startsWith("/") ? value : `/${value}`
  const replacement = start.endsWith("/") ? start.slice(0, -1) : start
  return (request) => {
    const path = replacement + request.path.slice(matched.length)
    return path === "" ? "/" : path
  }
}

/**
 * A path as bytes on the wire: what a request target cannot carry as path (space, controls, beyond ASCII, `?`, `#`)
 * becomes percent-encoded UTF-8; escapes that are there stay.
 */
export const encodePath = (path: string): string => path.toWellFormed().replace(/[^\x21\x22\x24-\x3e\x40-\x7e]/gu, (unit) => (unit === "?" ? "%3F" : encodeURIComponent(unit)))
