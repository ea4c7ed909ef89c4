import type { Match } from "../../bus/kinds/config.ts"

type Path = Match["path"]

/**
 * A match that holds exactly where both hold; undefined: nowhere; "inexpressible": two different path expressions of
 * which one is a regular expression.
 */
export const conjunction = (a: Match, b: Match): Match | "inexpressible" | undefined => {
  if (a.method !== undefined && b.method !== undefined && a.method !== b.method) return undefined
  const path = bothPaths(a.path, b.path)
  if (path === undefined || path === "inexpressible") return path
  const headers = bothValues(a.headers, b.headers)
  const query = bothValues(a.query, b.query)
  if (headers === undefined || query === undefined) return undefined
  const method = a.method ?? b.method
  return { path, ...(method === undefined ? {} : { method }), headers, query }
}

const bothPaths = (a: Path, b: Path): Path | "inexpressible" | undefined => {
  if (isEverything(b) || (a.type === b.type && a.value === b.value)) return a
  if (isEverything(a)) return b
  if (a.type === "regex" || b.type === "regex") return "inexpressible"
  if (a.type === "prefix" && isUnder(b.value, a.value)) return b
  if (b.type === "prefix" && isUnder(a.value, b.value)) return a
  return undefined
}

const isEverything = (path: Path): boolean => path.type === "prefix" && path.value === "/"
const isUnder = (path: string, prefix: string): boolean => path === prefix || path.startsWith(`${prefix}/`)

const bothValues = (a: Match["headers"], b: Match["headers"]): Match["headers"] | undefined => {
  const both = [...a]
  for (const value of b) {
    const same = a.filter((each) => each.name === value.name)
    if (same.some((each) => each.type === value.type && each.value === value.value)) continue
    if (value.type === "exact" && same.some((each) => each.type === "exact")) return undefined
    both.push(value)
  }
  return both
}
