import { availableParallelism } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"

/** Against the Kubernetes of KUBECONFIG, from where its addresses can be reached: test/run.ts sees to both. */
const cluster = {
  extends: true as const,
  test: { name: "cluster", include: ["test/cluster/**/*.test.ts"], testTimeout: 120_000, hookTimeout: 120_000, maxWorkers: 1, fileParallelism: false, sequence: { groupOrder: 2 } },
}

/** Files at a time: each processor has work while another file waits for its processes. (Vitest by itself leaves one processor to itself, of two thus half.) */
const maxWorkers = Math.max(2, availableParallelism())

const system = { testTimeout: 120_000, hookTimeout: 120_000 }
/** What takes the ports that README.md and the demo name, or looks at the clock or at memory so closely that others beside it would be seen: at the end, one file at a time. */
const alone = ["test/system/readme.test.ts", "bus/jetstream.test.ts", "infra/adapters/nats/accounts.test.ts", "test/proxy/bulk.test.ts", "test/proxy/fault.test.ts", "test/proxy/websocket-bulk.test.ts", "test/soak/soak.test.ts"]

/** `system` starts real processes, `unit` does not and has the modules of packages loaded once for many files. */
export default defineConfig({
  // As `import … from "headgate"` resolves where the package is installed.
  resolve: { alias: { headgate: join(import.meta.dirname, "functions/index.ts") } },
  test: {
    reporters: ["default"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["{bus,functions,gateway,infra,test}/**/*.test.ts"],
          exclude: ["test/system/**", "test/cluster/**", "**/node_modules/**", ...alone],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          isolate: false,
          maxWorkers,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { ...system, name: "system", include: ["test/system/**/*.test.ts"], exclude: alone, maxWorkers, sequence: { groupOrder: 0 } } },
      { extends: true, test: { ...system, name: "alone", include: alone, maxWorkers: 1, fileParallelism: false, sequence: { groupOrder: 1 } } },
      ...(process.env["HEADGATE_CLUSTER"] === "1" ? [cluster] : []),
    ],
  },
})
