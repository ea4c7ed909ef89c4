/**
 * One parameter of a query. Names and values are compared decoded (`+` is a space, WHATWG URL
 * application/x-www-form-urlencoded); nothing is copied unless something is encoded. Time is linear in the query.
 */
import type { Regex } from "./regex.ts"

const PERCENT = 37
const PLUS = 43

/** The first parameter of that name decides; without `=` its value is "". `regex` null: it must equal `equals`. */
export const parameterHolds = (query: string, name: string, equals: string, regex: Regex | null): boolean => {
  const length = query.length
  let start = 0
  let equalsSign = -1
  while (start < length) {
    const end = indexOrEnd(query, "&", start)
    if (equalsSign < start) equalsSign = indexOrEnd(query, "=", start)
    const nameEnd = Math.min(equalsSign, end)
    if (isText(query, start, nameEnd, name)) {
      const valueStart = Math.min(nameEnd + 1, end)
      return regex === null ? isText(query, valueStart, end, equals) : regex.test(decoded(query, valueStart, end))
    }
    start = end + 1
  }
  return false
}

const indexOrEnd = (text: string, unit: string, from: number): number => {
  const at = text.indexOf(unit, from)
  return at === -1 ? text.length : at
}

const isText = (query: string, start: number, end: number, wanted: string): boolean =>
  isEncoded(query, start, end) ? decoded(query, start, end) === wanted : end - start === wanted.length && query.startsWith(wanted, start)

const isEncoded = (query: string, start: number, end: number): boolean => {
  for (let i = start; i < end; i++) {
    const unit = query.charCodeAt(i)
    if (unit === PERCENT || unit === PLUS) return true
  }
  return false
}

/** What cannot be decoded stands for itself. */
const decoded = (query: string, start: number, end: number): string => {
  const spaced = query.slice(start, end).replaceAll("+", " ")
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced
  }
}
