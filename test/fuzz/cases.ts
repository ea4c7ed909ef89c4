/** The cases of a run: the same for the same seed and index, on every machine. */
import { generate } from "./generate.ts"
import { mutate } from "./mutate.ts"
import { Random } from "./random.ts"
import type { Case } from "./transcript.ts"

export interface Arrival {
  readonly given: Case
  /** Where the text is cut into the pieces that arrive, ascending. */
  readonly cuts: readonly number[]
  /** What stands in the buffer where nothing has arrived yet. */
  readonly poison: number
}

export const arrival = (seed: number, index: number): Arrival => {
  const random = new Random(seed, index)
  const whole = generate(random)
  const given = random.below(5) < 2 ? { ...whole, text: mutate(random, whole.text, generate(random).text) } : whole
  return { given, cuts: cutsOf(random, given.text.length), poison: random.pick([0x0a, 0x0d, 0x20, 0x30, 0x3a, 0x41, 0x00]) }
}

/** Octet by octet, or a few pieces. */
const cutsOf = (random: Random, length: number): readonly number[] => {
  if (random.once(25)) return everyOctet(length)
  const cuts = Array.from({ length: 1 + random.below(5) }, () => 1 + random.below(Math.max(1, length - 1)))
  return [...new Set(cuts)].sort((a, b) => a - b)
}

export const everyOctet = (length: number): readonly number[] => Array.from({ length: Math.max(0, length - 1) }, (_, i) => i + 1)
