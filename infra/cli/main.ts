/**
 * `headgate <command>`. The parts of a running Headgate are commands too; each loads only itself, so that the gateway
 * process stays free of Effect. Exit status: 0 done, 1 failed or problems found, 2 the command line is wrong.
 */
import { findBus } from "./beside.ts"
import { endWithNpm, endWithSupervisor } from "./supervised.ts"

const [command, ...rest] = process.argv.slice(2)

const start = async (): Promise<void> => {
  endWithNpm()
  if (command === "gateway" || command === "functions" || command === "adapter" || command === "checkpoints" || command === "demo-backend") endWithSupervisor()
  if (command !== undefined) await findBus(command)
  const probes = process.env["HEADGATE_PROBES"] ?? ""
  if (probes !== "" && (command === "functions" || command === "adapter" || command === "checkpoints")) await (await import("./probes.ts")).listenProbes(probes)
  switch (command) {
    case "gateway":
      return (await import("../../gateway/main.ts")).main(rest)
    case "functions":
      return (await import("../../functions/main.ts")).main(rest)
    case "adapter":
      return (await import("../adapters/main.ts")).main(rest)
    case "nats":
      return (await import("../adapters/nats/main.ts")).main(rest)
    case "checkpoints":
      return (await import("./checkpoints.ts")).main(rest)
    case "demo-backend":
      return (await import("./demo-backend.ts")).main(rest)
    default:
      return (await import("./commands.ts")).main()
  }
}

await start().catch((error: unknown) => {
  console.error(`headgate ${command ?? ""}: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
