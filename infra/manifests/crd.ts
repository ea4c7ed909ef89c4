/** The definition of GatewayParameters, made from what is read of them (bus/kinds/installation.ts), so that both are the same. */
import { Schema } from "effect"
import { GatewayParameters, HEADGATE_GROUP } from "../../bus/kinds/installation.ts"
import type { Manifest } from "./options.ts"

export const PLURAL = "gatewayparameters"

/** What a type cannot say, for `kubectl explain` and the API server, by path below spec. */
const described: Readonly<Record<string, { readonly description: string; readonly [field: string]: unknown }>> = {
  "": { description: "How the pods and the Service of Gateways are made." },
  mode: { description: "Dedicated: pods for each Gateway, in its namespace. Shared: one set of pods for all Gateways of the class, in the installation's namespace. Of a GatewayClass's parameters only." },
  replicas: { description: "Pods of a data plane. Default: 1 for Dedicated, 2 for Shared.", type: "integer", format: "int32", minimum: 0 },
  autoscaled: { description: "Leaves the number of pods to an autoscaler." },
  service: { description: "The Service in front of the pods." },
  "service.type": { description: "Default: LoadBalancer." },
  "service.annotations": { description: "Annotations of the Service, as load balancers are told what they need." },
  "service.loadBalancerClass": { description: "Which load balancer takes the Service." },
  "service.externalTrafficPolicy": { description: "Local keeps the address of the client; Cluster, Kubernetes' default, does not." },
  resources: { description: "Of the gateway container, as in core/v1 ResourceRequirements." },
  "resources.requests": { description: "By resource, as quantities.", additionalProperties: { "x-kubernetes-int-or-string": true } },
  "resources.limits": { description: "By resource, as quantities.", additionalProperties: { "x-kubernetes-int-or-string": true } },
  nodeSelector: { description: "Labels of the nodes that pods run on." },
  tolerations: { description: "As in core/v1 PodSpec.", items: ANY() },
  affinity: { description: "As in core/v1 PodSpec.", ...ANY() },
  topologySpreadConstraints: { description: "As in core/v1 PodSpec.", items: ANY() },
  imagePullSecrets: { description: "Secrets with which the image is pulled, in the namespace of the pods." },
  "imagePullSecrets.name": { description: "Of the Secret." },
  environment: { description: "Settings of the gateway by their variable, as HEADGATE_DRAIN_TIMEOUT." },
}

function ANY(): { readonly type: string; readonly "x-kubernetes-preserve-unknown-fields": boolean } {
  return { type: "object", "x-kubernetes-preserve-unknown-fields": true }
}

export const gatewayParametersDefinition = (labels: Readonly<Record<string, string>>): Manifest => ({
  apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition",
  metadata: { name: `${PLURAL}.${HEADGATE_GROUP}`, labels },
  spec: {
    group: HEADGATE_GROUP,
    scope: "Namespaced",
    names: { kind: "GatewayParameters", listKind: "GatewayParametersList", plural: PLURAL, singular: PLURAL, shortNames: ["gwp"] },
    versions: [{
      name: "v1alpha1", served: true, storage: true,
      additionalPrinterColumns: [{ name: "Mode", type: "string", jsonPath: ".spec.mode" }, { name: "Replicas", type: "integer", jsonPath: ".spec.replicas" }, { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" }],
      schema: {
        openAPIV3Schema: {
          type: "object",
          description: "How the pods and the Service of Gateways are made: by spec.parametersRef of a GatewayClass and, over that field by field, by spec.infrastructure.parametersRef of a Gateway.",
          properties: { apiVersion: { type: "string" }, kind: { type: "string" }, metadata: { type: "object" }, spec: structural(specSchema(), "") },
        },
      },
    }],
  },
})

/** As JSON Schema. */
function specSchema(): unknown {
  return member(member(Schema.toJsonSchemaDocument(GatewayParameters).schema, "properties"), "spec")
}

/** A schema as Kubernetes takes one: every type named, fields described. Throws Error for a field nobody has described. */
function structural(schema: unknown, path: string): Readonly<Record<string, unknown>> {
  const about = path.endsWith("[]") ? {} : described[path.replaceAll("[]", "")]
  if (about === undefined) throw new Error(`GatewayParameters: spec.${path} is not described`)
  const below = (name: string): string => (path === "" ? name : `${path}.${name}`)
  const [properties, items, additional, required] = ["properties", "items", "additionalProperties", "required"].map((name) => member(schema, name))
  return {
    ...(member(schema, "type") === undefined ? {} : { type: member(schema, "type") }),
    ...(member(schema, "enum") === undefined ? {} : { enum: member(schema, "enum") }),
    ...(properties === undefined ? {} : { properties: Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, structural(value, below(name))])) }),
    ...(required === undefined ? {} : { required }),
    ...(items === undefined ? {} : { items: structural(items, `${path}[]`) }),
    ...(typeof additional === "object" ? { additionalProperties: additional } : {}),
    ...about,
  }
}

function member(value: unknown, name: string): object | string | undefined {
  const found: unknown = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined
  return typeof found === "string" || (typeof found === "object" && found !== null) ? found : undefined
}
