/** Memory and descriptors of a process over time, and whether they stay what they were. Linux only. */
import { readdirSync } from "node:fs"
import { usage } from "../system/processes.ts"
import { quantile } from "../bench/report.ts"

export interface Sample {
  /** Since the start, s. */
  readonly at: number
  /** MiB */
  readonly rss: number
  readonly descriptors: number
}

export const sample = (pid: number, at: number): Sample => ({ at, rss: usage(pid).rss / 2 ** 20, descriptors: readdirSync(`/proc/${pid}/fd`).length })

export interface Drift {
  /** Medians of the first and of the last fifth after warm-up. */
  readonly rss: readonly [first: number, last: number]
  readonly descriptors: readonly [first: number, last: number]
}

/** A fifth of the time, two minutes at most: pools fill, code is compiled. */
const warmUp = (seconds: number): number => Math.min(seconds / 5, 120)

export const drift = (samples: readonly Sample[]): Drift => {
  const seconds = samples.at(-1)?.at ?? 0
  const warm = samples.filter(({ at }) => at >= warmUp(seconds))
  const fifth = Math.max(1, Math.floor(warm.length / 5))
  const both = (of: (sample: Sample) => number): readonly [number, number] => [quantile(warm.slice(0, fifth).map(of), 0.5), quantile(warm.slice(-fifth).map(of), 0.5)]
  return { rss: both(({ rss }) => rss), descriptors: both(({ descriptors }) => descriptors) }
}

/** Connections come and go; so many more are no leak. */
const DESCRIPTORS_MORE = 8

/** What has grown, as sentences; none: memory is within 10 % of what it was, descriptors are flat. */
export const grown = ({ rss, descriptors }: Drift): readonly string[] => [
  ...(rss[1] > rss[0] * 1.1 ? [`memory grew from ${rss[0].toFixed(1)} to ${rss[1].toFixed(1)} MiB`] : []),
  ...(descriptors[1] > descriptors[0] + DESCRIPTORS_MORE ? [`descriptors grew from ${descriptors[0]} to ${descriptors[1]}`] : []),
]
