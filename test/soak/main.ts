/**
 * `npm run soak [-- soak|swaps|removals] [--minutes N] [--count N] [--seed N] [--pace MS]`: mixed traffic for an hour
 * with a swap every second; 1,000 swaps; 10,000 removals of endpoints. Ends with 1 when anything failed or grew.
 */
import { option } from "../bench/report.ts"
import { removals } from "./removals.ts"
import { grown } from "./samples.ts"
import { soak } from "./soak.ts"
import { swaps } from "./swaps.ts"

const argv = process.argv.slice(2)
const [name = "soak"] = argv.filter((word, index) => !word.startsWith("--") && argv[index - 1]?.startsWith("--") !== true)
const seed = option(argv, "seed", 1 + (Date.now() % 1_000_000))
const options = { seed, pace: option(argv, "pace", 5), say: (line: string) => console.log(line) }

const problems = async (): Promise<readonly string[]> => {
  switch (name) {
    case "soak": {
      const minutes = option(argv, "minutes", Number(process.env["HEADGATE_SOAK_MINUTES"] ?? 60))
      const { failures, swaps: swapped, drift } = await soak({ ...options, seconds: minutes * 60 })
      console.log(`${swapped} swaps; memory ${drift.rss.map((mib) => mib.toFixed(1)).join(" → ")} MiB, descriptors ${drift.descriptors.join(" → ")} (medians of the first and the last fifth after warm-up)`)
      return [...failures, ...grown(drift)]
    }
    case "swaps":
      return swaps(option(argv, "count", 1_000), options)
    case "removals":
      return removals(option(argv, "count", 10_000), options)
    default:
      throw new TypeError(`usage: npm run soak [-- soak|swaps|removals] [--minutes N] [--count N] [--seed N] [--pace MS]; not "${name}"`)
  }
}

console.log(`${name}, seed ${seed}`)
const found = await problems()
for (const problem of found.slice(0, 100)) console.error(problem)
console.log(`${name}, seed ${seed}: ${found.length === 0 ? "0 failures" : `${found.length} failures`}`)
process.exitCode = found.length === 0 ? 0 : 1
