import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["{bus,functions,gateway,infra,test}/**/*.test.ts"], testTimeout: 30_000 },
})
