/** Where the cluster is: its addresses, namespaces and folders. One a machine. */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { cacheFolder } from "../../bus/server.ts"

/** Network namespaces, as `ip netns` knows them. */
export const NODE = "headgate-node"
export const CLIENT = "headgate-client"

export const NODE_ADDRESS = "10.123.0.1"
export const CLIENT_ADDRESS = "10.123.0.2"
/** Addresses for Services of type LoadBalancer (load-balancer.ts); any process of the node can bind them too. */
export const LOAD_BALANCERS = "10.124.0.0/16"
export const PODS = "10.244.0.0/16"
export const SERVICES = "10.96.0.0/16"
/** The API server's own Service. */
export const API_SERVICE = "10.96.0.1"

/** Binaries and images, by what they are made of: worth keeping. */
export const cache = (): string => made(join(cacheFolder(), "cluster"))

/** Of the cluster that runs: logs, keys, etcd's data, containers. Gone with it. */
export const state = (...path: readonly string[]): string => join("/var/tmp/headgate-cluster", ...path)

/** Of who may do anything in the cluster; reaches it from within either namespace. */
export const ADMIN = state("pki", "admin.kubeconfig")

const made = (folder: string): string => {
  mkdirSync(folder, { recursive: true })
  return folder
}
