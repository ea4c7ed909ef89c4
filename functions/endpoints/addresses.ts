/** Addresses behind one port of a Service, from EndpointSlices or legacy Endpoints. */
import type { Endpoint } from "../../bus/kinds/config.ts"
import type { Endpoints, EndpointSlice, ServicePort } from "../../bus/kinds/core.ts"

export interface Found {
  /** Sorted by address, then port; each pair once. */
  readonly endpoints: readonly Endpoint[]
  /** Whether some object has the port, by name, whatever its addresses' state. */
  readonly hasPort: boolean
}

interface Candidate extends Endpoint {
  readonly ready: boolean
  /** Terminating, but still serving: better than nothing. */
  readonly draining: boolean
}

/**
 * Port names tie a slice's port to the Service's (both empty in a Service of one unnamed port); the number is the
 * slice's, so targetPort names, headless and selectorless Services need nothing more. IPv4 and IPv6 addresses both count.
 * Of an endpoint's addresses only the first has a meaning (EndpointSlice API). FQDN slices must be left out before.
 */
export const fromSlices = (slices: readonly EndpointSlice[], port: ServicePort): Found => {
  const candidates: Candidate[] = []
  let hasPort = false
  for (const slice of slices) {
    for (const slicePort of slice.ports) {
      if (!isOf(port, slicePort)) continue
      hasPort = true
      // A slice port without a number means all ports: then the Service's target is the one meant.
      const number = slicePort.port ?? (typeof port.targetPort === "number" ? port.targetPort : port.port)
      for (const { addresses, conditions = {} } of slice.endpoints) {
        const [address] = addresses
        if (address === undefined) continue
        const ready = conditions.ready ?? true
        candidates.push({ address, port: number, ready, draining: conditions.terminating === true && (conditions.serving ?? ready) })
      }
    }
  }
  return { endpoints: chosen(candidates), hasPort }
}

export const fromLegacy = ({ subsets }: Endpoints, port: ServicePort): Found => {
  const candidates: Candidate[] = []
  let hasPort = false
  for (const subset of subsets) {
    for (const subsetPort of subset.ports) {
      if (!isOf(port, subsetPort)) continue
      hasPort = true
      for (const { ip } of subset.addresses) candidates.push({ address: ip, port: subsetPort.port, ready: true, draining: false })
    }
  }
  return { endpoints: chosen(candidates), hasPort }
}

const isOf = (port: ServicePort, { name, protocol }: { readonly name: string; readonly protocol: string }): boolean => name === (port.name ?? "") && protocol === port.protocol

const chosen = (candidates: readonly Candidate[]): readonly Endpoint[] => {
  const ready = candidates.filter((each) => each.ready)
  const serving = ready.length > 0 ? ready : candidates.filter((each) => each.draining)
  const byPlace = new Map(serving.map(({ address, port }) => [`${address} ${port}`, { address, port }]))
  return [...byPlace.values()].sort((a, b) => (a.address === b.address ? a.port - b.port : a.address < b.address ? -1 : 1))
}
