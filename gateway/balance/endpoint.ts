/**
 * Which endpoint of a cluster takes the next request. Ejected ones are passed over; when all are, health is not asked
 * (never eject all). Endpoints in `tried` are passed over for good: null when nothing else is left.
 *
 * - "round-robin": the next in turn.
 * - "least-in-flight" (default): of the next two in turn the one with fewer requests in flight. As even as round robin
 *   while all are equally fast, and a slow endpoint gets less; two look-ups whatever the number of endpoints.
 */
import { Endpoint } from "../upstream/endpoint.ts"
import type { ClusterHandle } from "../table/table.ts"
import type { Settings } from "../settings.ts"

export const pickEndpoint = (cluster: ClusterHandle, tried: readonly Endpoint[], balance: Settings["balance"]): Endpoint | null => {
  const size = cluster.endpoints.length
  if (size === 0) return null
  if (size === 1 && tried.length === 0) return at(cluster, 0)
  const start = cluster.turn >= size ? 0 : cluster.turn
  cluster.turn = start + 1
  let first: Endpoint | null = null
  for (let i = 0; i < size; i++) {
    const endpoint = at(cluster, (start + i) % size)
    if (!endpoint.health.isAvailable || tried.includes(endpoint)) continue
    if (balance === "round-robin") return endpoint
    if (first === null) first = endpoint
    else return endpoint.inFlight < first.inFlight ? endpoint : first
  }
  if (first !== null) return first
  for (let i = 0; i < size; i++) {
    const endpoint = at(cluster, (start + i) % size)
    if (!tried.includes(endpoint)) return endpoint
  }
  return null
}

const at = (cluster: ClusterHandle, index: number): Endpoint => {
  const endpoint = cluster.endpoints[index]
  if (endpoint instanceof Endpoint) return endpoint
  throw new TypeError(`cluster ${cluster.id}: endpoint ${index} was not made by Endpoints`)
}
