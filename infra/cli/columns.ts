/** The columns of each kind in `headgate get`. */
import { at, list } from "./field.ts"
import type { Item, Observed } from "./observe.ts"

interface Columns {
  readonly head: readonly string[]
  row(item: Item): readonly string[]
}

const text = (value: unknown): string => (typeof value === "string" ? value || "-" : value === undefined || value === null ? "-" : JSON.stringify(value))
const joined = (values: readonly unknown[]): string => (values.length === 0 ? "-" : values.map(text).join(","))
const namespaced = ({ key }: Item): readonly [string, string] => {
  const slash = key.indexOf("/")
  return [key.slice(0, slash) || "-", key.slice(slash + 1)]
}

/** `<namespace>/<gateway>` of a listener's id. */
const gatewayOf = (listener: unknown): string => text(listener).split("/").slice(0, 2).join("/")
const attachOf = (entry: Item): readonly unknown[] => list(at(entry.value, "attach")).map((attach) => at(attach, "listener"))

export const columnsOf = (kind: string, observed: Observed, wide: boolean): Columns => {
  const entries = (section: string) => observed.entries.filter((entry) => entry.kind === section)
  switch (kind) {
    case "gateway": {
      const served = Map.groupBy(observed.applied.flatMap((pod) => list(at(pod, "listeners"))), (listener) => gatewayOf(at(listener, "id")))
      const routes = new Map<string, number>()
      for (const entry of entries("route")) for (const gateway of new Set(attachOf(entry).map(gatewayOf))) routes.set(gateway, (routes.get(gateway) ?? 0) + 1)
      return {
        head: ["NAMESPACE", "NAME", "CLASS", "LISTENERS", "ROUTES"],
        row: (item) => {
          const shown = (served.get(item.key) ?? []).map((listener) => `${text(at(listener, "id")).slice(item.key.length + 1)}=${text(at(listener, "error") ?? `${text(at(listener, "address"))}:${text(at(listener, "port"))}`)}`)
          return [...namespaced(item), text(at(item.value, "spec", "gatewayClassName")), joined(shown), String(routes.get(item.key) ?? 0)]
        },
      }
    }
    case "httproute": {
      // More than one where overlays act at one of its Gateways: `<id>@<gateway>`.
      const byRoute = Map.groupBy(entries("route"), ({ key }) => key.split("@", 1)[0])
      return {
        head: ["NAMESPACE", "NAME", "HOSTNAMES", "ATTACHED", "BACKENDS"],
        row: (item) => {
          const own = byRoute.get(`httproute/${item.key}`) ?? []
          const backends = list(at(item.value, "spec", "rules")).flatMap((rule) => list(at(rule, "backendRefs"))).map((ref) => `${text(at(ref, "name"))}:${text(at(ref, "port"))}`)
          return [...namespaced(item), joined(list(at(item.value, "spec", "hostnames"))), joined(own.flatMap(attachOf)), joined([...new Set(backends)])]
        },
      }
    }
    case "service":
      return {
        head: ["NAMESPACE", "NAME", "PORTS"],
        row: (item) => [...namespaced(item), joined(list(at(item.value, "spec", "ports")).map((port) => at(port, "port")))],
      }
    case "cluster":
      return {
        head: ["PLANE", "CLUSTER", "READY", "ENDPOINTS"],
        row: ({ plane, key, value }) => {
          const endpoints = list(at(value, "endpoints")).map((endpoint) => `${text(at(endpoint, "address"))}:${text(at(endpoint, "port"))}`)
          return [plane, key, String(endpoints.length), endpoints.length === 0 ? text(at(value, "empty")) : wide || endpoints.length <= 3 ? joined(endpoints) : `${endpoints.slice(0, 3).join(",")} and ${endpoints.length - 3} more`]
        },
      }
    case "secret":
      return {
        head: ["NAMESPACE", "NAME", "TYPE", "KEYS", "PROBLEM"],
        row: (item) => [...namespaced(item), text(at(item.value, "type")), joined(list(at(item.value, "keys"))), text(at(item.value, "problem", "reason"))],
      }
    case "certificate":
      return {
        head: ["PLANE", "CERTIFICATE", "NAMES", "KEY", "NOT AFTER"],
        row: ({ plane, key, value }) => {
          const names = list(at(value, "names"))
          return [plane, key, wide || names.length <= 3 ? joined(names) : `${joined(names.slice(0, 3))} and ${names.length - 3} more`, text(at(value, "keyType")), text(at(value, "empty") ?? at(value, "notAfter"))]
        },
      }
    case "pod":
      return {
        head: ["PLANE", "POD", "READY", "UNITS", "ADMIN"],
        row: ({ plane, key, value }) => [plane, key, text(at(value, "waiting") ?? at(value, "ready")), joined(Object.entries(at(value, "units") ?? {}).map(([fn, unit]) => `${fn}@${text(at(unit, "rev"))}`)), text(at(value, "admin"))],
      }
    case "note":
      return {
        head: ["SEVERITY", "REASON", "ABOUT", "WHERE", "MESSAGE"],
        row: ({ value }) => {
          const about = at(value, "about")
          const file = at(value, "file")
          const where = [file === undefined ? undefined : `${text(file)}${at(value, "line") === undefined ? "" : `:${text(at(value, "line"))}`}`, at(value, "field")].filter((part) => part !== undefined)
          return [text(at(value, "severity")), text(at(value, "reason")), about === undefined ? "-" : `${text(at(about, "kind"))} ${text(at(about, "namespace"))}/${text(at(about, "name"))}`, where.length === 0 ? "-" : where.map(text).join(" "), text(at(value, "message"))]
        },
      }
    default: {
      const isEntry = entries(kind).length > 0
      return isEntry
        ? { head: ["PLANE", "ID", ...(wide ? ["VALUE"] : [])], row: ({ plane, key, value }) => [plane, key, ...(wide ? [JSON.stringify(value)] : [])] }
        : { head: ["NAMESPACE", "NAME", ...(wide ? ["VALUE"] : [])], row: (item) => [...namespaced(item), ...(wide ? [JSON.stringify(item.value)] : [])] }
    }
  }
}
