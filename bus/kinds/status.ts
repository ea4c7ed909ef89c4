/**
 * What an object's `status` should say, in the words of the Gateway API (apis/v1), as data: an adapter patches it into
 * the object, people see it by `headgate get` and `describe`. Without times: whoever writes it outside keeps
 * lastTransitionTime.
 */
import { Schema } from "effect"
import { Source } from "./config.ts"
import { configKind } from "./kind.ts"

const { Struct, String, Number, Array, Literal, Literals, optionalKey } = Schema

/** metav1.Condition. */
export const Condition = Struct({
  type: String,
  status: Literals(["True", "False", "Unknown"]),
  /** CamelCase. */
  reason: String,
  message: String,
  observedGeneration: Number,
})
export type Condition = typeof Condition.Type

export const ListenerStatus = Struct({
  name: String,
  supportedKinds: Array(Struct({ group: String, kind: String })),
  /** Routes that this listener takes and whose condition Accepted is True. */
  attachedRoutes: Number,
  conditions: Array(Condition),
})
export type ListenerStatus = typeof ListenerStatus.Type

export const ParentStatus = Struct({
  /** As in the route's spec, defaults in place. */
  parentRef: Struct({ group: String, kind: String, namespace: optionalKey(String), name: String, sectionName: optionalKey(String), port: optionalKey(Number) }),
  controllerName: String,
  conditions: Array(Condition),
})
export type ParentStatus = typeof ParentStatus.Type

/**
 * id: `<kind token>/<namespace>/<name>` in the control plane: `httproute/shop/cart`, `gatewayclass//ours`. Absent where
 * the object has nothing to do with this controller: then its status is not ours to write.
 */
export const Status = Struct({
  schema: Literal(1),
  source: Source,
  /** Of the object this was derived from: another one of its name is another one. */
  uid: optionalKey(String),
  /** Its generation then. */
  observedGeneration: Number,
  /** Of a GatewayClass or Gateway, always in the same order. */
  conditions: optionalKey(Array(Condition)),
  /** Of a Gateway: where it can be reached, sorted. */
  addresses: optionalKey(Array(Struct({ type: String, value: String }))),
  /** Of a Gateway: one for each of its listeners, in their order. */
  listeners: optionalKey(Array(ListenerStatus)),
  /** Of a route: one for each parentRef that names a Gateway of ours, in their order. */
  parents: optionalKey(Array(ParentStatus)),
  /** Of a GatewayClass, sorted. */
  supportedFeatures: optionalKey(Array(Struct({ name: String }))),
  /** Of a GatewayClass: those of GATEWAY_CLASS_FINALIZERS that it should have, and no others of these. In metadata, beside the status. */
  finalizers: optionalKey(Array(String)),
})
export type Status = typeof Status.Type

/** While Gateways use a class (apis/v1 gatewayclass_types.go: implementations SHOULD add it). */
export const GATEWAYS_EXIST = "gateway-exists-finalizer.gateway.networking.k8s.io"
/** Set and taken away by us. */
export const GATEWAY_CLASS_FINALIZERS: readonly string[] = [GATEWAYS_EXIST]

export const status = configKind("status", Status)
