/**
 * `npm run bench -- propagation|routechange|proxy|tls|scale|history|traces [options]`. Prints a Markdown table and puts it into
 * RESULTS.md beside this, with the command and the machine. Traffic goes to 127.0.0.1 only and every loop is bounded.
 */
const benches = {
  propagation: () => import("./propagation.ts"),
  routechange: () => import("./routechange.ts"),
  proxy: () => import("./proxy.ts"),
  tls: () => import("./tls.ts"),
  scale: () => import("./scale.ts"),
  history: () => import("./history.ts"),
  traces: () => import("./traces.ts"),
}

const isBench = (name: string): name is keyof typeof benches => name in benches

const [name = "", ...argv] = process.argv.slice(2)
if (isBench(name)) {
  const { run } = await benches[name]()
  await run(argv)
} else {
  console.error(`usage: npm run bench -- ${Object.keys(benches).join("|")} [--rounds N] [--edits N]`)
  process.exitCode = 2
}
