/**
 * Answers every demand with a cluster, also when there is nothing to send requests to: then `empty` says why. So
 * a gateway can tell "not there" from "not yet known" (gateway/barrier.ts).
 */
import { kinds, type Cluster, type Note } from "../../bus/kinds/config.ts"
import { core } from "../../bus/kinds/core.ts"
import { judgedService } from "../gateway-api/services.ts"
import { reconcile, type Reconciler } from "../reconcile.ts"
import { fromLegacy, fromSlices } from "./addresses.ts"

const SERVICE_NAME = "kubernetes.io/service-name"

export const endpoints: Reconciler = reconcile({
  name: "endpoints",
  version: "1",
  reads: [kinds.demand, core.service, core.endpointSlice, core.endpoints],
  writes: [kinds.cluster],
  derive: ({ from, into }) => {
    const services = from(core.service)
    const legacy = from(core.endpoints)
    const slicesByService = from(core.endpointSlice).index(({ metadata }) => {
      const service = metadata.labels?.[SERVICE_NAME]
      return service === undefined ? [] : [`${metadata.namespace}/${service}`]
    })

    const clusters = from(kinds.demand).map(({ backend }, read): Cluster | undefined => {
      if (backend === undefined) return undefined
      const source = { kind: "Service", namespace: backend.namespace, name: backend.name }
      const key = `${backend.namespace}/${backend.name}`
      const say = (note: Pick<Note, "severity" | "reason" | "message" | "fix"> & { readonly field?: string }) => read.note({ ...note, about: source })

      const verdict = judgedService(key, read(services, key), backend.port, { protocol: backend.protocol })
      const cluster: Cluster = { schema: 1, source, protocol: verdict.ok ? verdict.protocol : (backend.protocol ?? "http"), endpoints: [] }
      if (!verdict.ok) {
        const { field, ...finding } = verdict.finding
        say({ ...finding, ...(field === "" ? {} : { field }) })
        return { ...cluster, empty: verdict.empty }
      }
      const { port } = verdict

      const slices = read(slicesByService, key).map(([, slice]) => slice)
      const usable = slices.filter(({ addressType }) => addressType !== "FQDN")
      for (const { metadata, addressType } of slices) {
        if (addressType !== "FQDN") continue
        read.note({ severity: "warning", reason: "UnsupportedValue", message: `EndpointSlice ${metadata.namespace}/${metadata.name} holds domain names; they are left out.`, about: { kind: "EndpointSlice", namespace: metadata.namespace, name: metadata.name }, field: "addressType", fix: "Use addressType IPv4 or IPv6." })
      }
      const old = slices.length > 0 ? undefined : read(legacy, key)
      const found = old === undefined ? fromSlices(usable, port) : fromLegacy(old, port)
      if (found.endpoints.length > 0) return { ...cluster, endpoints: [...found.endpoints] }
      const name = port.name === undefined ? "its unnamed port" : `port "${port.name}"`
      const why =
        slices.length === 0 && old === undefined ? "there is no EndpointSlice or Endpoints object for it" : found.hasPort ? "no address is ready" : `no EndpointSlice or Endpoints object has ${name}`
      const fix = found.hasPort ? "Wait for an endpoint to become ready, or start one." : `Create an EndpointSlice with label ${SERVICE_NAME}: ${backend.name} that has ${name}.`
      say({ severity: "warning", reason: "NoReadyEndpoints", message: `Service ${key}, port ${port.port}: ${why}. What goes to it answers ${backend.protocol === "h2c" ? "UNAVAILABLE" : "503"}.`, fix })
      return { ...cluster, empty: "NoReadyEndpoints" }
    })
    into(kinds.cluster, clusters)
  },
})
