/** Small damage to octets that were meant well. */
import type { Random } from "./random.ts"

/** `other`: what a piece may be taken from. */
export const mutate = (random: Random, text: string, other: string): string => {
  let mutated = text
  for (let n = 1 + Math.min(random.below(3), random.below(3)); n > 0; n--) mutated = random.pick(mutations)(random, mutated, other)
  return mutated
}

type Mutation = (random: Random, text: string, other: string) => string

const spliced = (text: string, at: number, removed: number, added: string): string => text.slice(0, at) + added + text.slice(at + removed)

const flip: Mutation = (random, text) => {
  const at = random.below(text.length)
  return spliced(text, at, 1, String.fromCharCode((text.charCodeAt(at) || 0) ^ (1 << random.below(8))))
}

const replace: Mutation = (random, text) => spliced(text, random.below(text.length), 1, random.octets(1))

const insert: Mutation = (random, text) =>
  spliced(text, random.below(text.length + 1), 0, random.pick(["\r", "\n", "\r\n", "\0", " ", "\t", ":", ",", ";", "0", "\x7f", "\x0b", "\xe9", "\r\n ", "\r\n\r\n", "close", "chunked"]))

const remove: Mutation = (random, text) => spliced(text, random.below(text.length), 1 + random.below(4), "")

const truncate: Mutation = (random, text) => text.slice(0, random.below(text.length + 1))

/** A line twice, elsewhere or not. */
const repeatLine: Mutation = (random, text) => {
  const lines = text.split("\r\n")
  const line = lines[random.below(lines.length)] ?? ""
  lines.splice(random.below(lines.length), 0, line)
  return lines.join("\r\n")
}

const removeLine: Mutation = (random, text) => {
  const lines = text.split("\r\n")
  lines.splice(random.below(lines.length), 1)
  return lines.join("\r\n")
}

/** The beginning of one and the end of another. */
const splice: Mutation = (random, text, other) => text.slice(0, random.below(text.length + 1)) + other.slice(random.below(other.length + 1))

const number: Mutation = (random, text) => {
  const digits = [...text.matchAll(/\d+/g)]
  const chosen = digits[random.below(digits.length)]
  if (chosen === undefined) return text
  const value = Number(chosen[0])
  return spliced(text, chosen.index, chosen[0].length, random.pick([String(value + 1), String(Math.max(0, value - 1)), String(value * 10), `0${chosen[0]}`, "", "99999999999999999999", value.toString(16)]))
}

const mutations: readonly [Mutation, ...Mutation[]] = [flip, replace, insert, insert, remove, truncate, repeatLine, removeLine, splice, number]
