/** From the rename of a route file by another program to the first answer by that route. */
import { drop, route, setHeader, take, yaml } from "../system/manifests.ts"
import { option, report, spread } from "./report.ts"
import { Prober, stage, status, timeUntil } from "./stage.ts"

interface Row {
  readonly what: string
  readonly routes: number
  readonly files: number
  /** What one edit is. */
  readonly edit: "new file" | "in its file"
}

const rows: readonly Row[] = [
  { what: "20 others, a file each", routes: 20, files: 20, edit: "new file" },
  { what: "5,000 others in one file", routes: 5000, files: 1, edit: "new file" },
  { what: "5,000 others in 500 files", routes: 5000, files: 500, edit: "new file" },
  { what: "one of the 10 in its file, 500 files", routes: 5000, files: 500, edit: "in its file" },
  { what: "one of the 5,000 in its file", routes: 5000, files: 1, edit: "in its file" },
]

const measure = async ({ routes, files, edit }: Row, edits: number) => {
  const { world, port, end } = await stage("propagation", routes, files)
  const times: number[] = []
  const errors: string[] = []
  try {
    await world.up()
    const prober = await Prober.connect(port)
    const each = Math.ceil(routes / files)
    for (let index = 0; index < edits; index++) {
      if (edit === "new file") {
        const host = `new${index}.example`
        const at = drop(world.manifests, "new.yaml", yaml(route(`new${index}`, { gateway: "edge", hostnames: [host], backend: "a" })))
        times.push(await timeUntil(prober, host, at, (head) => (status(head) !== 404 && status(head) !== 200 && errors.push(head), status(head) === 200)))
        if (index % 50 === 49) {
          take(world.manifests, "new.yaml")
          await timeUntil(prober, host, performance.now(), (head) => status(head) === 404)
        }
      } else {
        const file = index % files
        const changed = file * each
        const content = yaml(
          ...Array.from({ length: each }, (_, offset) => {
            const id = changed + offset
            return route(`r${id}`, { gateway: "edge", hostnames: [`r${id}.example`], backend: "a", ...(id === changed ? { filters: [setHeader("x-version", String(index))] } : {}) })
          }),
        )
        const at = drop(world.manifests, `routes-${file}.yaml`, content)
        times.push(await timeUntil(prober, `r${changed}.example`, at, (head) => (status(head) !== 200 && errors.push(head), head.toLowerCase().includes(`\r\nx-version: ${index}`))))
      }
    }
    prober.close()
  } finally {
    await end()
  }
  return { times, errors }
}

export const run = async (argv: readonly string[]) => {
  const edits = option(argv, "edits", 300)
  const figures: (readonly string[])[] = []
  for (const row of rows) {
    const { times, errors } = await measure(row, edits)
    figures.push([row.what, row.edit, String(times.length), spread(times), String(errors.length)])
    console.error(figures.at(-1)?.join(" | "))
  }
  report("Propagation: rename of a route file → answered, ms", ["routes", "edit", "edits", "p50 / p99 / max", "answers neither old nor new"], figures, [
    "One keep-alive connection asks at most once a millisecond; the time includes the answer that showed the edit. Budget: p50 8, p99 25.",
  ])
}
