/** What of an installation can be chosen; everything else is the same everywhere. */
import { type Mode, OWN_CONTROLLER } from "../../bus/kinds/installation.ts"
import { IMAGE } from "../images/image.ts"

export interface InstallOptions {
  readonly namespace: string
  /** GatewayClasses of this controller are ours. */
  readonly controllerName: string
  /** Name of the GatewayClass that is made; "": none. */
  readonly gatewayClass: string
  /** Namespaces whose objects count; none: all. */
  readonly watchNamespaces: readonly string[]
  readonly image: string
  readonly mode: Mode
  /** Of every edit, from the API server's event to the swap in gateways and the status that is written. */
  readonly traces: boolean
  readonly nats: OwnNats | ExternalNats
}

/** A nats-server of the installation. */
export interface OwnNats {
  readonly replicas: 1 | 3
  /** Of each server's volume, as a quantity (`8Gi`); undefined: as long as the pod, from which everything is derived anew. */
  readonly storage?: string
}

/** One of the user's. `credentials`: a Secret of the installation's namespace with a file of credentials for each role. */
export interface ExternalNats {
  readonly url: string
  readonly credentials: string
}

export const DEFAULTS: InstallOptions = {
  namespace: "headgate-system",
  controllerName: OWN_CONTROLLER,
  gatewayClass: "headgate",
  watchNamespaces: [],
  image: IMAGE,
  mode: "Dedicated",
  traces: false,
  nats: { replicas: 1 },
}

export const isExternal = (nats: OwnNats | ExternalNats): nats is ExternalNats => "url" in nats

/** As any pod reaches it. */
export const natsUrl = ({ namespace, nats }: InstallOptions): string => (isExternal(nats) ? nats.url : `nats://${NATS}.${namespace}.svc:4222`)

/** Names of parts: of their workloads, ServiceAccounts and `app.kubernetes.io/name`. */
export const NATS = "headgate-nats"
export const PEERS = "headgate-nats-peers"
export const ADAPTER = "headgate-adapter"
export const FUNCTIONS = "headgate-functions"
export const HISTORY = "headgate-history"
/** Of gateway pods, which functions make. */
export const GATEWAY = "headgate-gateway"

/** On everything that installing makes; its value is the installation's namespace. */
export const INSTALLATION_LABEL = "headgate.dev/installation"

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

export const labelsOf = ({ namespace }: InstallOptions, part?: string): Readonly<Record<string, string>> => ({
  "app.kubernetes.io/part-of": "headgate",
  "app.kubernetes.io/managed-by": "headgate",
  [INSTALLATION_LABEL]: namespace,
  ...(part === undefined ? {} : { "app.kubernetes.io/name": part }),
})
