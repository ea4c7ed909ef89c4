/** Where pods bind the ports of Gateways: unprivileged, and each Gateway's apart from those of others that the same pods serve. */
import { hash } from "node:crypto"
import type { Service } from "../../bus/kinds/core.ts"
import type { Collection, Member } from "../reconcile.ts"
import type { ServedGateway } from "./listeners.ts"
import { olderFirst, planeOfKey } from "./names.ts"

interface Ask {
  /** `<namespace>/<name>/<port>` of the Gateway. */
  readonly id: string
  readonly created: string
  readonly first: number
  /** Its Service sends there. */
  readonly isHeld: boolean
}

const LOWEST = 10_000
const PORTS = 65_536 - LOWEST
/** Outgoing connections take their ports above (Linux, ip_local_port_range), and one of them can keep a port from being bound. */
const BELOW_EPHEMERAL = 32_768 - LOWEST

export const bindPortKey = (plane: string, namespace: string, name: string, port: number): string => `${plane}/${namespace}/${name}/${port}`

/**
 * By `bindPortKey`; none with files. A Gateway with pods of its own has 10,000 + port where there is such a port. In
 * shared pods the place comes from the name, so that it stays when other Gateways come and go: of two that want one the
 * older has it, the other the next that is free. Where its Service sends already, nobody can take it away: until that is
 * told of another port, it would bring others what is for this Gateway.
 */
export const bindPorts = (served: Collection<ServedGateway>, services: Collection<Service>): Collection<number> => {
  const asked = served.flatMap(({ plane, mode, service, namespace, name, created, listeners }, read): Member<Ask>[] => {
    if (mode === "External") return []
    // Those of shared pods are in the installation's namespace, where no author of Gateways writes.
    const sends = mode === "Shared" && service !== undefined ? (read(services, service)?.spec.ports ?? []) : []
    return [...new Set(listeners.map(({ listener }) => listener.port))].map((port) => {
      const id = `${namespace}/${name}/${port}`
      const held = sends.find((each) => each.port === port)?.targetPort
      const isHeld = typeof held === "number" && held >= LOWEST
      return [bindPortKey(plane, namespace, name, port), { id, created, isHeld, first: isHeld ? held : mode === "Dedicated" && LOWEST + port <= 65_535 ? LOWEST + port : hashed(id) }]
    })
  }).named("ports asked for")
  return asked
    .group((_ask, key) => [planeOfKey(key)], allotted)
    .named("ports of planes")
    .flatMap((all) => all)
    .named("ports bound")
}

const hashed = (id: string): number => LOWEST + (Number.parseInt(hash("sha256", id).slice(0, 12), 16) % BELOW_EPHEMERAL)

const allotted = (members: readonly Member<Ask>[]): readonly Member<number>[] => {
  const taken = new Set<number>()
  const ranked = members.map(([key, ask]) => ({ key, ...ask })).sort((a, b) => Number(b.isHeld) - Number(a.isHeld) || olderFirst(a, b))
  return ranked.slice(0, PORTS).map(({ key, first }) => {
    let port = first
    while (taken.has(port)) port = port === 65_535 ? LOWEST : port + 1
    taken.add(port)
    return [key, port]
  })
}
