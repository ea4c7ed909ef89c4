/** A Gateway's Service: who comes to a listener's port there comes to where pods bind it. */
import type { Desired } from "../../bus/kinds/desired.ts"
import type { Gateway } from "../../bus/kinds/gateway-api.ts"
import type { Parameters } from "../gateway-api/runs.ts"
import type { Member } from "../reconcile.ts"
import { object, selectorOf, type Made } from "./objects.ts"

export interface ServedPort {
  readonly port: number
  /** Of pods. */
  readonly bindPort: number
}

/** @param ports sorted, at least one */
export const service = (made: Made, { spec: { addresses = [] } }: Gateway, parameters: Parameters, ports: readonly ServedPort[]): Member<Desired> => {
  const { type = "LoadBalancer", annotations, loadBalancerClass, externalTrafficPolicy } = parameters.service ?? {}
  // One at most: a Service of type LoadBalancer can ask for no more. Never spec.externalIPs, by which an author of Gateways could take traffic that is for others (CVE-2020-8554).
  const asked = addresses.find((address) => address.type === "IPAddress" && (address.value ?? "") !== "")?.value
  return object("Service", { ...made, annotations: { ...annotations, ...made.annotations } }, {
    spec: {
      type,
      selector: selectorOf(made.plane),
      ports: ports.map(({ port, bindPort }) => ({ name: `port-${port}`, port, protocol: "TCP", targetPort: bindPort })),
      ...(type === "LoadBalancer" && loadBalancerClass !== undefined ? { loadBalancerClass } : {}),
      ...(type === "LoadBalancer" && asked !== undefined ? { loadBalancerIP: asked } : {}),
      ...(type !== "ClusterIP" && externalTrafficPolicy !== undefined ? { externalTrafficPolicy } : {}),
    },
  })
}
