/** The columns of each kind in `headgate get`. */
import { conditionsIn, isGood, statuses, trouble, verdict } from "./conditions.ts"
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

/** `<namespace>/<name>` of the Gateway, then the section and port where they are named. */
export const parentText = (ref: unknown, own: string): string => {
  const namespace = at(ref, "namespace") ?? own
  const port = at(ref, "port")
  const section = at(ref, "sectionName")
  return `${namespace === "" ? "" : `${text(namespace)}/`}${text(at(ref, "name"))}${section === undefined ? "" : `#${text(section)}`}${port === undefined ? "" : `:${text(port)}`}`
}

/** More than a line of a terminal can hold are counted. */
const few = (values: readonly unknown[], all: boolean): string => (all || values.length <= 2 ? joined(values) : `${joined(values.slice(0, 2))} and ${values.length - 2} more`)

export const columnsOf = (kind: string, observed: Observed, wide: boolean): Columns => {
  const entries = (section: string) => observed.entries.filter((entry) => entry.kind === section)
  switch (kind) {
    case "gatewayclass": {
      const statusOf = statuses(observed)
      return {
        head: ["NAME", "CONTROLLER", "ACCEPTED"],
        row: (item) => [namespaced(item)[1], text(at(item.value, "spec", "controllerName")), verdict(statusOf("gatewayclass", item.key), "Accepted")],
      }
    }
    case "gateway": {
      const statusOf = statuses(observed)
      const served = Map.groupBy(observed.applied.flatMap((pod) => list(at(pod, "listeners"))), (listener) => gatewayOf(at(listener, "id")))
      // In a cluster pods bind another port than the Service before them has: who asks goes to that one.
      const behind = new Map(entries("listener").flatMap(({ key, value }) => (at(value, "bindPort") === undefined ? [] : [[key, at(value, "port")] as const])))
      const routes = new Map<string, number>()
      for (const entry of entries("route")) for (const gateway of new Set(attachOf(entry).map(gatewayOf))) routes.set(gateway, (routes.get(gateway) ?? 0) + 1)
      return {
        head: ["NAMESPACE", "NAME", "CLASS", "ADDRESS", "PROGRAMMED", "LISTENERS", "ROUTES"],
        row: (item) => {
          const status = statusOf("gateway", item.key)
          const ports = Map.groupBy(served.get(item.key) ?? [], (listener) => text(at(listener, "id")).slice(item.key.length + 1))
          const listeners = list(at(item.value, "spec", "listeners")).map((listener) => {
            const name = text(at(listener, "name"))
            const bound = [...new Set((ports.get(name) ?? []).map((each) => at(each, "port")).filter((port) => port !== 0 && port !== undefined).map((port) => behind.get(`${item.key}/${name}`) ?? port))]
            const why = trouble(list(at(status, "listeners")).find((each) => at(each, "name") === name))
            return `${name}=${why ?? (bound.length > 0 ? bound.map(text).join("/") : "-")}`
          })
          const addresses = list(at(status, "addresses")).map((address) => at(address, "value"))
          return [...namespaced(item), text(at(item.value, "spec", "gatewayClassName")), joined(addresses), verdict(status, "Programmed"), joined(listeners), String(routes.get(item.key) ?? 0)]
        },
      }
    }
    case "httproute":
    case "grpcroute": {
      const statusOf = statuses(observed)
      return {
        head: ["NAMESPACE", "NAME", "HOSTNAMES", "PARENTS", "ACCEPTED", "RESOLVED", ...(wide ? ["BACKENDS"] : [])],
        row: (item) => {
          const [own] = namespaced(item)
          const parents = list(at(statusOf(kind, item.key), "parents"))
          const refs = list(at(item.value, "spec", "parentRefs")).map((ref) => parentText(ref, own))
          const verdicts = (type: string) => joined([...new Set(parents.map((parent) => verdict(parent, type)))])
          const backends = list(at(item.value, "spec", "rules")).flatMap((rule) => list(at(rule, "backendRefs"))).map((ref) => `${text(at(ref, "name"))}:${text(at(ref, "port"))}`)
          return [...namespaced(item), few(list(at(item.value, "spec", "hostnames")), wide), few(refs, wide), verdicts("Accepted"), verdicts("ResolvedRefs"), ...(wide ? [joined([...new Set(backends)])] : [])]
        },
      }
    }
    case "status":
      return {
        head: ["KIND", "NAMESPACE", "NAME", "GENERATION", "STATUS"],
        row: ({ value }) => {
          const holders: readonly (readonly [string, unknown])[] = [
            ["", value],
            ...list(at(value, "listeners")).map((listener) => [`${text(at(listener, "name"))}: `, listener] as const),
            ...list(at(value, "parents")).map((parent) => [`${parentText(at(parent, "parentRef"), "")}: `, parent] as const),
          ]
          const wrong = holders.flatMap(([where, holder]) => conditionsIn(holder).filter((each) => !isGood(each)).map(({ type, reason }) => `${where}${type} ${reason}`))
          return [text(at(value, "source", "kind")), text(at(value, "source", "namespace")), text(at(value, "source", "name")), text(at(value, "observedGeneration")), wrong.length === 0 ? "ok" : few(wrong, wide)]
        },
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
