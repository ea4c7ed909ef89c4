/** Which cases: HEADGATE_FUZZ_SEED, HEADGATE_FUZZ_CASES (how many) and HEADGATE_FUZZ_FROM (the first), as main.ts and failures name them. */
import { runs } from "../fixtures/runs.ts"

export interface Chosen {
  readonly seed: number
  readonly cases: number
  readonly from: number
  /** As many as `npm test` tries, or more: a replay of some cannot show what takes many. */
  readonly isWhole: boolean
  /** What to say to have one of them again. */
  replay(index: number): string
}

/** `usually`: how many cases `npm test` has time for. */
export const chosen = (usually: number): Chosen => {
  const [seed, cases, from] = [setting("HEADGATE_FUZZ_SEED", 1), setting("HEADGATE_FUZZ_CASES", runs(usually)), setting("HEADGATE_FUZZ_FROM", 0)]
  return { seed, cases, from, isWhole: cases >= usually, replay: (index) => `HEADGATE_FUZZ_SEED=${seed} HEADGATE_FUZZ_FROM=${index} HEADGATE_FUZZ_CASES=1` }
}

const setting = (name: string, otherwise: number): number => {
  const value = process.env[name]
  if (value === undefined || value === "") return otherwise
  if (!/^\d{1,9}$/.test(value)) throw new TypeError(`${name}: ${value} is not a number`)
  return Number(value)
}
