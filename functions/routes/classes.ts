import type { Gateway } from "../../bus/kinds/gateway-api.ts"
import type { Collection } from "../reconcile.ts"
import { reporter } from "../gateway-api/report.ts"
import { classParameters, type RunSources } from "../gateway-api/runs.ts"

/** Notes on GatewayClasses: nobody uses it; parameters cannot be found, or have no effect where running gateways is somebody else's. */
export const noteClasses = (gateways: Collection<Gateway>, { classes, installations, parameters }: Omit<RunSources, "services">): void => {
  const users = gateways.group(({ spec }) => [spec.gatewayClassName], () => true).named("classes in use")
  classes.map((each, read) => {
    const { metadata, spec } = each
    const report = reporter(read, { kind: "GatewayClass", namespace: "", name: metadata.name })
    if (read(users, metadata.name) !== true) report("info", "Unused", "metadata.name", `No Gateway uses GatewayClass ${metadata.name}.`, "Name it in a Gateway's spec.gatewayClassName.")
    const found = read(installations, "/") === undefined ? undefined : classParameters(each, parameters, read)
    if (found?.ok === false) report(found.finding.severity, found.finding.reason, found.finding.field, `${found.finding.message} Gateways of this class go on as they were.`, found.finding.fix)
    if (found === undefined && spec.parametersRef !== undefined) report("warning", "InvalidParameters", "spec.parametersRef", "Parameters are not supported and have no effect.", "Remove spec.parametersRef.")
    return undefined
  }).named("notes on classes")
}
