/**
 * What should exist in the cluster, as data: the apply adapter makes it so, by server-side apply with one field manager,
 * and takes away what is deleted here. (What an object's status should say is kind `status`.)
 */
import { Schema } from "effect"
import { Source } from "./config.ts"
import { configKind } from "./kind.ts"

const { Struct, String, Literal, Literals, Record, Unknown, Number, optionalKey } = Schema

/** A value that nobody but its readers may know: made by the adapter when the object is first made, and kept. */
const Generated = Struct({ as: Literals(["hex", "base64url"]), bytes: Number })

/** id: `<kind in lower case>/<namespace>/<name>` in the control plane: `deployment/shop/edge-3f2a9c1b` */
export const Desired = Struct({
  schema: Literal(1),
  /** The object of the outside that asks for it: its events are said of that, and it goes with it. */
  source: Source,
  apiVersion: String,
  kind: String,
  /** "" where it has none. */
  namespace: String,
  name: String,
  /** Everything else of the object as it is applied: metadata (labels, annotations, ownerReferences), spec, data … */
  body: Record(String, Unknown),
  /** Of a Secret: keys of its data that are random. */
  generated: optionalKey(Record(String, Generated)),
  /** Of a data plane's Secret: keys of its data that hold a certificate of the plane's user on the bus (busCertificate), renewed in time. */
  certificate: optionalKey(Struct({ plane: String })),
})
export type Desired = typeof Desired.Type

/** Keys of the Secret's data, PEM: what is shown, its key, and by whom a server's has to be signed. */
export const busCertificate = { certificate: "nats.crt", key: "nats.key", authority: "nats-ca.crt" } as const

export const desired = configKind("desired", Desired)
