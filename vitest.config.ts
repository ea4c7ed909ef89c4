import { join } from "node:path"
import { defineConfig } from "vitest/config"

/** Against the Kubernetes of KUBECONFIG, from where its addresses can be reached: test/run.ts sees to both. */
const cluster = {
  extends: true as const,
  test: { name: "cluster", include: ["test/cluster/**/*.test.ts"], testTimeout: 120_000, hookTimeout: 120_000, maxWorkers: 1, fileParallelism: false, sequence: { groupOrder: 2 } },
}

/** `system` starts real processes: after everything else, one file at a time. */
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
          exclude: ["test/system/**", "test/cluster/**", "**/node_modules/**"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/system/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      ...(process.env["HEADGATE_CLUSTER"] === "1" ? [cluster] : []),
    ],
  },
})
