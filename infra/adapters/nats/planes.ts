/**
 * Data planes, by the Secrets that hold their passwords. Anybody who may make a Secret can label it: one counts only
 * for the plane of the Gateway that owns it, under the name it is made by, or, for shared planes, in the installation's own namespace.
 */
import { CLASS_PLANE, gatewayPlane, objectName } from "../../../bus/planes.ts"
import { type Json, labelOf, listOf, memberOf, textOf } from "../kubernetes/raw.ts"

export const PLANE_LABEL = "headgate.dev/plane"
const PASSWORD = "nats-password"

export interface PlaneSecret {
  readonly namespace: string
  readonly name: string
  readonly plane: string
  readonly password: string
}

export interface Refused {
  readonly namespace: string
  readonly name: string
  /** For people. */
  readonly why: string
}

/** The Secret of a plane, or why it is none. `secret`: as the API server gives it. */
export const planeSecretOf = (secret: Json, installation: string): PlaneSecret | Refused => {
  const metadata = memberOf(secret, "metadata")
  const [namespace, name] = [textOf(metadata["namespace"]), textOf(metadata["name"])]
  const plane = labelOf(secret, PLANE_LABEL)
  const password = Buffer.from(textOf(memberOf(secret, "data")[PASSWORD]), "base64").toString("utf8")
  if (!isOfPlane(secret, installation)) return { namespace, name, why: `it is not what is made for a Gateway of this namespace, its owner, that has the data plane "${plane}"` }
  if (!/^[A-Za-z0-9_-]{32,}$/.test(password)) return { namespace, name, why: `its ${PASSWORD} is not 32 or more letters, digits, - and _` }
  return { namespace, name, plane, password }
}

/** Whether the object, whose metadata may be all there is of it, is of the data plane that its label names. */
export const isOfPlane = (object: Json, installation: string): boolean => {
  const metadata = memberOf(object, "metadata")
  const plane = labelOf(object, PLANE_LABEL)
  const [namespace, name] = [textOf(metadata["namespace"]), textOf(metadata["name"])]
  if (namespace === installation && plane.startsWith(CLASS_PLANE)) return true
  // By its name too: where the true one is, nobody can put another beside it.
  return ownersOf(metadata).some((gateway) => gatewayPlane(namespace, gateway) === plane && objectName(gateway, plane) === name)
}

/** Names of the Gateways that own an object. */
const ownersOf = (metadata: Json): readonly string[] =>
  listOf(metadata, "ownerReferences").flatMap((owner) => {
    const [kind, version, name = ""] = ["kind", "apiVersion", "name"].map((field) => textOf(typeof owner === "object" && owner !== null ? Reflect.get(owner, field) : undefined))
    return kind === "Gateway" && version?.startsWith("gateway.networking.k8s.io/") === true ? [name] : []
  })

/** Passwords by plane. Of two Secrets of one plane the first by namespace and name counts. */
export const passwordsOf = (secrets: Iterable<PlaneSecret>): ReadonlyMap<string, string> => {
  const passwords = new Map<string, string>()
  const place = ({ namespace, name }: PlaneSecret): string => `${namespace}/${name}`
  for (const secret of [...secrets].sort((a, b) => (place(a) < place(b) ? -1 : 1))) if (!passwords.has(secret.plane)) passwords.set(secret.plane, secret.password)
  return passwords
}
