/**
 * `npm run conformance -- [--profile GATEWAY-HTTP] [--run-test NAME] [--mode Dedicated|Shared] [flags of the suite …]`:
 * the Gateway API's suite, built unmodified, against what is installed in the cluster of KUBECONFIG, else in that of
 * `npm run cluster`. What is tested beyond the core is what the GatewayClass says it supports. Exit status: the suite's.
 */
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { runningCluster } from "../cluster/cluster.ts"
import { GATEWAY_API } from "../cluster/crds.ts"
import { inside } from "../cluster/network.ts"
import { ADMIN, CLIENT } from "../cluster/place.ts"
import { conformanceTests } from "./suite.ts"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { profile: { type: "string", default: "GATEWAY-HTTP" }, "run-test": { type: "string" }, mode: { type: "string", default: "Dedicated" }, class: { type: "string", default: "headgate" }, report: { type: "string" } },
})

const { version }: { version: string } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"))
const reports = join(import.meta.dirname, "reports")
mkdirSync(reports, { recursive: true })
const report = values.report ?? join(reports, `${GATEWAY_API}-${values.mode.toLowerCase()}.yaml`)
const own = process.env["KUBECONFIG"]
if (own === undefined && runningCluster() === undefined) {
  console.error("no cluster runs: npm run cluster -- up, or set KUBECONFIG")
  process.exit(1)
}
const flags = [
  "-test.v", "-test.run=TestConformance", "-test.timeout=60m", `--gateway-class=${values.class}`, `--conformance-profiles=${values.profile}`,
  ...(values["run-test"] === undefined ? [`--report-output=${report}`] : [`--run-test=${values["run-test"]}`]),
  "--organization=headgate", "--project=headgate", "--url=https://headgate.dev", `--version=v${version}`, "--contact=https://headgate.dev", `--mode=${values.mode.toLowerCase()}`,
  // Namespaces go when the gateways' pods have, which serve for 10 s more.
  "--timeout-config-overrides=DeleteTimeout:60",
  ...positionals,
]
// One that the load balancer gives to who asks for it, and one that it has not.
if (own === undefined) flags.push("--usable-address=10.124.200.1", "--unusable-address=192.0.2.1")
const [command = "", ...args] = [...(own === undefined ? inside(CLIENT) : []), await conformanceTests(console.log), ...flags]
const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, KUBECONFIG: own ?? ADMIN } })
process.exitCode = await new Promise<number>((resolve) => {
  child.once("error", (error) => {
    console.error(error.message)
    resolve(1)
  })
  child.once("exit", (code) => resolve(code ?? 1))
})
