/**
 * `npm test [-- vitest arguments]`: types, lint, then every test; `-- --project unit` leaves out those with real processes. With arguments only vitest runs, on what they name.
 * HEADGATE_CLUSTER=1: also those that need a Kubernetes, the one of KUBECONFIG or one started for them, and the core of the Gateway API's conformance suite in both modes.
 * The last line is `N passed, N failed`; a check (types, lint) and a test file that does not load count as one each.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { binaries } from "./cluster/binaries.ts"
import { down, obstacle, runningCluster, up } from "./cluster/cluster.ts"
import { inside } from "./cluster/network.ts"
import { ADMIN, CLIENT } from "./cluster/place.ts"

const root = join(import.meta.dirname, "..")
const args = process.argv.slice(2)

const run = (program: string, argv: readonly string[]) =>
  new Promise<boolean>((resolve) => {
    const child = spawn(program, argv, { cwd: root, stdio: ["ignore", "inherit", "inherit"] })
    child.on("error", (error) => {
      console.error(`${program}: ${error.message}`)
      resolve(false)
    })
    child.on("exit", (code) => resolve(code === 0))
  })

const tool = (name: string) => join(root, "node_modules/.bin", name)

interface Counts {
  passed: number
  failed: number
  skipped: number
}
const counts: Counts = { passed: 0, failed: 0, skipped: 0 }

const check = async (name: string, program: string, argv: readonly string[]) => {
  const started = performance.now()
  const passed = await run(program, argv)
  counts[passed ? "passed" : "failed"]++
  console.log(`${passed ? "✓" : "✗"} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
}

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[]
}

const isReport = (value: unknown): value is Report => typeof value === "object" && value !== null && "numPassedTests" in value && "testResults" in value

const readReport = (path: string): Report | undefined => {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"))
    return isReport(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** `before`: a command that runs it elsewhere. */
const vitest = async (argv: readonly string[], before: readonly string[] = []) => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-test-"))
  const path = join(folder, "report.json")
  try {
    const [program = "", ...words] = [...before, process.execPath, join(root, "node_modules/vitest/vitest.mjs"), "run", "--reporter=default", "--reporter=json", `--outputFile.json=${path}`, ...argv]
    const passed = await run(program, words)
    const report = readReport(path)
    if (report === undefined) {
      console.error("vitest ended without a report")
      counts.failed++
      return
    }
    const notLoaded = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length
    counts.passed += report.numPassedTests
    counts.failed += report.numFailedTests + notLoaded
    counts.skipped += report.numPendingTests + report.numTodoTests
    // An unhandled error fails the run though every test passed.
    if (!passed && report.numFailedTests + notLoaded === 0) counts.failed++
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const timed = async (what: string, perform: () => Promise<void>) => {
  const started = performance.now()
  await perform()
  console.log(`${what} took ${((performance.now() - started) / 1000).toFixed(0)} s`)
}

/** Its own cluster is ended again, whatever happens; one that was there stays. */
const inCluster = async () => {
  const own = process.env["KUBECONFIG"] === undefined
  const wasUp = !own || runningCluster() !== undefined
  try {
    if (!wasUp) await up((line) => console.log(line))
    if (own) process.env["KUBECONFIG"] = ADMIN
    await vitest(["--project", "cluster"], own ? inside(CLIENT) : [])
    if (own) delete process.env["KUBECONFIG"]
    for (const mode of ["Dedicated", "Shared"]) await check(`conformance, ${mode}`, process.execPath, [join(root, "test/conformance/main.ts"), "--mode", mode])
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    counts.failed++
  } finally {
    if (!wasUp) await down()
  }
}

/** Once, before many tests ask for it at a time. */
const build = async () => {
  try {
    await binaries((line) => console.log(line))
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    counts.failed++
  }
}

const why = process.env["HEADGATE_CLUSTER"] === "1" ? await obstacle() : undefined
if (why !== undefined) {
  console.log(`no Kubernetes can run here (${why}): what needs one is left out`)
  delete process.env["HEADGATE_CLUSTER"]
}
const withCluster = process.env["HEADGATE_CLUSTER"] === "1"
if (withCluster) await build()
if (args.length === 0) {
  await timed("npm test", async () => {
    await check("types", tool("tsc"), ["--incremental", "--tsBuildInfoFile", "node_modules/.cache/types.tsbuildinfo"])
    await check("lint", tool("oxlint"), ["--type-aware", "--deny-warnings"])
    await vitest(["--project", "unit", "--project", "system", "--project", "alone"])
  })
  if (withCluster) await timed("the cluster's part", inCluster)
} else await vitest(args)
if (counts.skipped > 0) console.log(`${counts.skipped} skipped`)
console.log(`${counts.passed} passed, ${counts.failed} failed`)
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0
