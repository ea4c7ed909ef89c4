/** Several workers' counters as one text (Prometheus text format 0.0.4, as metrics.ts writes it). */

/** What each worker has for itself of the same thing: the most of them says it. */
const ALIKE: ReadonlySet<string> = new Set(["headgate_upstream_endpoints", "headgate_upstream_endpoints_ejected", "headgate_table_swaps_total", "headgate_overload_shed_ratio", "headgate_event_loop_delay_seconds"])

interface Family {
  /** HELP and TYPE. */
  readonly head: string[]
  isGauge: boolean
  /** By name with labels, in the order they came. */
  readonly samples: Map<string, number>
}

const add = (families: Map<string, Family>, text: string): void => {
  let name = ""
  let family: Family | undefined
  for (const line of text.split("\n")) {
    if (line === "") continue
    if (line.startsWith("# ")) {
      const [, what, of = "", type] = line.split(" ", 4)
      if (of !== name || family === undefined) {
        name = of
        family = families.get(name)
        if (family === undefined) families.set(name, (family = { head: [], isGauge: false, samples: new Map() }))
      }
      if (family.head.length < 2) family.head.push(line)
      if (what === "TYPE") family.isGauge = type === "gauge"
      continue
    }
    const space = line.lastIndexOf(" ")
    const sample = line.slice(0, space)
    const value = Number(line.slice(space + 1))
    const before = family?.samples.get(sample) ?? 0
    family?.samples.set(sample, ALIKE.has(name) ? Math.max(before, value) : before + value)
  }
}

const written = (families: Iterable<Family>): string => {
  const lines: string[] = []
  for (const { head, samples } of families) {
    lines.push(...head)
    for (const [sample, value] of samples) lines.push(`${sample} ${value}`)
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`
}

/** Each sample summed over the texts that have it. */
export const sumMetrics = (texts: readonly string[]): string => {
  const families = new Map<string, Family>()
  for (const text of texts) add(families, text)
  return written(families.values())
}

/** Without gauges: what stays true of a worker that is gone. */
export const countersOf = (text: string): string => {
  const families = new Map<string, Family>()
  add(families, text)
  return written([...families.values()].filter(({ isGauge }) => !isGauge))
}
