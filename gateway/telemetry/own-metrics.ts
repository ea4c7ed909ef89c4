/** What the process has to say about what it serves, beside what its workers count (Prometheus text format 0.0.4). */
import type { Applied } from "../../bus/kinds/applied.ts"
import type { Serves } from "../serving.ts"
import type { Subscription } from "../subscribe.ts"

export const ownMetrics = ({ ready, notes, units }: Applied, { held, isStalled }: Subscription, { clusters }: Serves): string => {
  const lines: string[] = []
  const gauge = (name: string, help: string, samples: readonly (readonly [labels: string, value: number])[]): void => {
    lines.push(`# HELP headgate_${name} ${help}`, `# TYPE headgate_${name} gauge`, ...samples.map(([labels, value]) => `headgate_${name}${labels} ${value}`))
  }
  gauge("ready", "1 once a complete configuration is served.", [["", ready ? 1 : 0]])
  gauge("bus_away", "1 while the bus cannot be reached.", [["", isStalled ? 1 : 0]])
  gauge("commits_held", "Commits that wait for clusters or certificates.", [["", held]])
  gauge("notes", "Notes on what is not served as asked for.", [["", notes.length]])
  gauge("clusters", "Clusters known.", [["", clusters]])
  gauge("unit_revision", "Revision served, by function.", Object.entries(units).map(([fn, { rev }]) => [`{function="${fn}"}`, rev]))
  return `${lines.join("\n")}\n`
}
