/** One route flips between two backends and gains and loses a filter while clients ask back to back. */
import { startBackend } from "../system/backend.ts"
import { drop, route, service, setHeader, yaml } from "../system/manifests.ts"
import { traffic } from "../system/traffic.ts"
import { until } from "../system/until.ts"
import { option, report } from "./report.ts"
import { stage } from "./stage.ts"

const measure = async (flips: number, pause: number, routes: number) => {
  const { world, port, end } = await stage("routechange", routes, 20)
  const second = await startBackend("b")
  try {
    drop(world.manifests, "second.yaml", yaml(...service("b", 8080, [{ port: second.port }])))
    const flip = (on: boolean, version: number) =>
      drop(world.manifests, "web.yaml", yaml(route("web", { gateway: "edge", hostnames: ["web.example"], backend: on ? "b" : "a", port: on ? 8080 : 80, ...(on ? { filters: [setHeader("x-version", String(version))] } : {}) })))
    flip(false, 0)
    await world.up()
    let last: string | undefined
    let changes = 0
    const load = traffic({
      port,
      host: "web.example",
      connections: 2,
      pace: 0,
      onAnswer: (answer) => {
        const now = String(answer.headers["x-version"] ?? "")
        if (now !== last) changes++
        last = now
      },
    })
    for (let index = 1; index <= flips; index++) {
      flip(index % 2 === 1, index)
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
    flip(true, flips + 1)
    await until("the last flip is answered", () => last === String(flips + 1))
    await load.stop()
    return { answered: load.answered, failed: load.failures, changes }
  } finally {
    await end()
    await second.stop()
  }
}

export const run = async (argv: readonly string[]) => {
  const figures: (readonly string[])[] = []
  const failures: string[] = []
  for (const [flips, pause] of [
    [option(argv, "flips", 100), 200],
    [option(argv, "flips", 1000), 5],
    [option(argv, "flips", 1000), 1],
  ] as const) {
    const { answered, failed, changes } = await measure(flips, pause, 1000)
    figures.push([String(flips), `${pause} ms`, String(answered), String(changes), String(failed.length)])
    failures.push(...failed.slice(0, 5).map((failure) => failure.what))
  }
  report("Route changes: flips of backend and filter under traffic, 1,000 other routes", ["flips", "every", "answers", "changes seen", "failed"], figures, failures)
}
