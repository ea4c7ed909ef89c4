/**
 * `npm run bench [-- NAME [options]]`; without a name all of them, one after the other, each in a process of its own.
 * Prints Markdown tables and puts them into RESULTS.md beside this, with the command and the machine. Traffic goes to
 * 127.0.0.1 only and every loop is bounded.
 */
import { spawnSync } from "node:child_process"

const benches = {
  propagation: () => import("./propagation.ts"),
  routechange: () => import("./routechange.ts"),
  proxy: () => import("./proxy.ts"),
  workers: () => import("./workers.ts"),
  tls: () => import("./tls.ts"),
  edge: () => import("./edge.ts"),
  scale: () => import("./scale.ts"),
  history: () => import("./history.ts"),
  traces: () => import("./traces.ts"),
}

/** Run only by name: where it runs is made first. */
const elsewhere = { kubernetes: () => import("./kubernetes.ts"), "kubernetes-foreign": () => import("./kubernetes-foreign.ts") }
const all = { ...benches, ...elsewhere }

const isBench = (name: string): name is keyof typeof all => name in all

const [name, ...argv] = process.argv.slice(2)
if (name === undefined) {
  const failed = Object.keys(benches).filter((each) => {
    console.log(`\n## ${each}\n`)
    return spawnSync(process.execPath, [import.meta.filename, each], { stdio: "inherit" }).status !== 0
  })
  if (failed.length > 0) {
    console.error(`failed: ${failed.join(", ")}`)
    process.exitCode = 1
  }
} else if (isBench(name)) {
  const { run } = await all[name]()
  await run(argv)
} else {
  console.error(`usage: npm run bench [-- ${Object.keys(all).join("|")} [--rounds N] [--edits N]]`)
  process.exitCode = 2
}
