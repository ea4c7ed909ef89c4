/**
 * `npm run conformance -- [--profile GATEWAY-HTTP|GATEWAY-GRPC] [--run-test NAME] [--mode Dedicated|Shared] [--installed] [-- flags of the suite …]`:
 * the Gateway API's suite, built unmodified, against Headgate as `headgate install` puts it into the cluster of
 * KUBECONFIG, else into that of `npm run cluster`; `--installed`: against what is there. What is tested beyond the core
 * is what the GatewayClass says it supports. Exit status: the suite's.
 */
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { supportedFeatures } from "../../functions/status/classes.ts"
import { connectApi, resourcePath } from "../../infra/adapters/kubernetes/client.ts"
import { isJson, listOf, memberOf, textOf } from "../../infra/adapters/kubernetes/raw.ts"
import { kubectl, runningCluster } from "../cluster/cluster.ts"
import { GATEWAY_API } from "../cluster/crds.ts"
import { inside } from "../cluster/network.ts"
import { ADMIN, CLIENT } from "../cluster/place.ts"
import { until } from "../system/until.ts"
import { conformanceTests } from "./suite.ts"

const root = join(import.meta.dirname, "../..")
/** What there is, together: the suite reports on all of them in one file. */
const PROFILES = "GATEWAY-HTTP,GATEWAY-GRPC"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { profile: { type: "string", default: PROFILES }, "run-test": { type: "string" }, mode: { type: "string", default: "Dedicated" }, class: { type: "string", default: "headgate" }, installed: { type: "boolean", default: false }, report: { type: "string" } },
})

const { version }: { version: string } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const reports = join(import.meta.dirname, "reports")
mkdirSync(reports, { recursive: true })
// A run of one profile says nothing about the others.
const ofProfile = values.profile === PROFILES ? "" : `-${values.profile.toLowerCase()}`
const report = values.report ?? join(reports, `${GATEWAY_API}-${values.mode.toLowerCase()}${ofProfile}.yaml`)
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
const perform = (...command: readonly string[]): Promise<number> => {
  const [program = "", ...args] = [...(own === undefined ? inside(CLIENT) : []), ...command]
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, KUBECONFIG: own ?? ADMIN } })
  return new Promise((resolve) => {
    child.once("error", (error) => {
      console.error(error.message)
      resolve(1)
    })
    child.once("exit", (code) => resolve(code ?? 1))
  })
}

/** The suite takes from the GatewayClass what to test: the adapter of this mode must have said it. */
const untilFeatures = async (): Promise<void> => {
  const path = resourcePath({ group: "gateway.networking.k8s.io", version: "v1", plural: "gatewayclasses", name: values.class })
  const api = own === undefined ? undefined : connectApi()
  const read = async (): Promise<unknown> => (api === undefined ? JSON.parse(await kubectl("get", "--raw", path)) : api.request({ path }))
  const wanted = supportedFeatures(values.mode === "Shared" ? "Shared" : "Dedicated").join(" ")
  const said = async (): Promise<string> => listOf(memberOf(await read(), "status"), "supportedFeatures").map((feature) => (isJson(feature) ? textOf(feature["name"]) : "")).sort().join(" ")
  try {
    await until(`GatewayClass ${values.class} says what is supported`, async () => (await said()) === wanted, 60_000)
  } finally {
    await api?.close()
  }
}

const suite = await conformanceTests(console.log)
const status = values.installed ? 0 : await perform(process.execPath, join(root, "infra/cli/headgate.mjs"), "install", "--mode", values.mode)
if (status === 0 && !values.installed) await untilFeatures()
process.exitCode = status === 0 ? await perform(suite, ...flags) : status
