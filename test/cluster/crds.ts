/** The Gateway API's own definitions, of the release the conformance suite is of. */
import { globSync, mkdirSync, copyFileSync } from "node:fs"
import { basename, join } from "node:path"
import { run } from "../../bus/server/command.ts"
import { lasting, once, type Report } from "./binaries.ts"

export const GATEWAY_API = "v1.7.0"

/** Paths of the manifests of the experimental channel: definitions, and the policy that guards them. */
export const crds = async (report: Report): Promise<readonly string[]> => {
  const folder = await once("gateway-api", GATEWAY_API, async (scratch) => {
    const found: { Dir: string } = JSON.parse(await lasting(`fetching Gateway API ${GATEWAY_API}`, report, run("go", ["mod", "download", "-json", `sigs.k8s.io/gateway-api@${GATEWAY_API}`], { timeout: 300_000, env: { GOTOOLCHAIN: "go1.27.1" } })))
    mkdirSync(join(scratch, "experimental"))
    for (const file of globSync("config/crd/experimental/gateway*.yaml", { cwd: found.Dir })) copyFileSync(join(found.Dir, file), join(scratch, "experimental", basename(file)))
  })
  return globSync("experimental/*.yaml", { cwd: folder }).sort().map((file) => join(folder, file))
}
