import type { Gateway, GatewayClass } from "../../bus/kinds/gateway-api.ts"
import type { Installation } from "../../bus/kinds/installation.ts"
import type { Collection } from "../reconcile.ts"
import { reporter } from "../gateway-api/report.ts"

/** Notes on GatewayClasses: nobody uses it; parameters have no effect where running gateways is somebody else's. */
export const noteClasses = (classes: Collection<GatewayClass>, gateways: Collection<Gateway>, installations: Collection<Installation>): void => {
  const users = gateways.group(({ spec }) => [spec.gatewayClassName], () => true).named("classes in use")
  classes.map(({ metadata, spec }, read) => {
    const report = reporter(read, { kind: "GatewayClass", namespace: "", name: metadata.name })
    if (read(users, metadata.name) !== true) report("info", "Unused", "metadata.name", `No Gateway uses GatewayClass ${metadata.name}.`, "Name it in a Gateway's spec.gatewayClassName.")
    if (spec.parametersRef !== undefined && read(installations, "/") === undefined) report("warning", "InvalidParameters", "spec.parametersRef", "Parameters are not supported and have no effect.", "Remove spec.parametersRef.")
    return undefined
  }).named("notes on classes")
}
