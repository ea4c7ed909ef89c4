/** Everything an installation is, in the order in which it can be applied. */
import { stringify } from "yaml"
import { controlPlaneManifests } from "./control-plane.ts"
import { gatewayParametersDefinition } from "./crd.ts"
import { natsManifests } from "./nats.ts"
import { labelsOf, type InstallOptions, type Manifest } from "./options.ts"
import { rbacManifests } from "./rbac.ts"

export const manifests = (options: InstallOptions): readonly Manifest[] => [
  namespaceOf(options),
  gatewayParametersDefinition(labelsOf(options)),
  ...rbacManifests(options),
  ...natsManifests(options),
  ...controlPlaneManifests(options),
  ...gatewayClassOf(options),
]

/** No pod of the installation needs more than "restricted" allows (pod-security.kubernetes.io). */
const namespaceOf = (options: InstallOptions): Manifest => ({
  apiVersion: "v1", kind: "Namespace",
  metadata: { name: options.namespace, labels: { ...labelsOf(options), ...Object.fromEntries(["enforce", "audit", "warn"].map((how) => [`pod-security.kubernetes.io/${how}`, "restricted"])) } },
})

const gatewayClassOf = (options: InstallOptions): readonly Manifest[] => options.gatewayClass === "" ? [] : [{
  apiVersion: "gateway.networking.k8s.io/v1", kind: "GatewayClass",
  metadata: { name: options.gatewayClass, labels: labelsOf(options) },
  spec: { controllerName: options.controllerName },
}]

/** As `kubectl apply -f` takes it. */
export const yamlOf = (all: readonly Manifest[]): string => all.map((manifest) => `---\n${stringify(manifest, { lineWidth: 0, aliasDuplicateObjects: false })}`).join("")
