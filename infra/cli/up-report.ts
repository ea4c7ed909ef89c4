/** What `up` prints when traffic flows. */
import type { Applied, AppliedListener } from "../../bus/kinds/applied.ts"
import { originOf } from "./origin.ts"
import { reachable } from "./readiness.ts"

type Listener = Pick<AppliedListener, "protocol" | "hostname" | "address" | "port" | "specPort"> & { readonly name: string }

interface Gateway {
  readonly namespace: string
  readonly name: string
  readonly listeners: readonly Listener[]
}

const gatewaysOf = (listeners: readonly AppliedListener[]): readonly Gateway[] => {
  const gateways = Map.groupBy(listeners, ({ id }) => id.split("/").slice(0, 2).join("/"))
  return [...gateways].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, own]) => {
    const [namespace = "", name = ""] = key.split("/")
    return { namespace, name, listeners: own.map(({ id, protocol, hostname, address, port, specPort }) => ({ name: id.split("/")[2] ?? "", protocol, ...(hostname === undefined ? {} : { hostname }), address, port, specPort })) }
  })
}

/** What a client on this machine dials. */
const dialled = ({ address }: Listener): string => reachable(address)

const urlOf = (listener: Listener): string => {
  const { protocol, hostname = bracketed(dialled(listener)), port } = listener
  return originOf(protocol === "HTTPS" ? "https" : "http", hostname, port)
}

const bracketed = (address: string): string => (address.includes(":") ? `[${address}]` : address)

/** The URL, and what it does not say. */
const whereOf = (listener: Listener): string => {
  const { hostname, port, specPort } = listener
  if (port === 0) return "not bound (headgate get notes)"
  const more = [...(hostname === undefined ? [] : [`at ${dialled(listener)}`]), ...(port === specPort ? [] : [`port ${specPort} asked for`])]
  return `${urlOf(listener)}${more.length === 0 ? "" : `  (${more.join(", ")})`}`
}

/** How curl gets there, though nobody resolves the name. */
const curlTo = (listener: Listener): string => {
  const { hostname, port } = listener
  // Any name below a wildcard will do.
  const host = hostname?.replace(/^\*/, "www")
  return `curl ${host === undefined ? "" : `--resolve ${host}:${port}:${bracketed(dialled(listener))} `}${urlOf({ ...listener, ...(host === undefined ? {} : { hostname: host }) })}/`
}

/** The one line of `up --json`. `credentials`: the file with those of people's commands, for a nats-server of our own. */
export const readyLine = ({ nats, credentials, applied }: { readonly nats: string; readonly credentials: string | undefined; readonly applied: Applied }): string =>
  `${JSON.stringify({ ready: true, nats, ...(credentials === undefined ? {} : { credentials }), admin: applied.admin, gateways: gatewaysOf(applied.listeners) })}\n`

export const readyTable = ({ nats, applied, manifests, demo, data }: { nats: string; applied: Applied; manifests: string; demo: boolean; data: string }): string => {
  const gateways = gatewaysOf(applied.listeners)
  const rows: readonly (readonly [string, string])[] = [
    ...gateways.flatMap(({ namespace, name, listeners }) => listeners.map((listener) => [`gateway ${namespace}/${name} ${listener.name}`, whereOf(listener)] as const)),
    ["admin", `${applied.admin}/config`], ["bus", nats], ["manifests", manifests], ["logs", `${data}/logs`],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const table = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join("\n")
  const bound = gateways.flatMap(({ listeners }) => listeners).find(({ port }) => port > 0)
  const curl = bound === undefined ? "curl" : curlTo(bound)
  const next = demo ? `${curl}         one of two backends, in turn\n  ${curl}apple    headers and path changed on the way\n  edit a file in ${manifests}: it is live when you look` : `${curl}\n  drop a manifest into ${manifests}: it is live when you look`
  return `Headgate is ready.\n\n${table}\n\nTry next:\n  ${next}\n  npx headgate get         what is configured, and notes on what is wrong\n  npx headgate events -f   every edit and what it became\n\nCtrl-C stops it.\n`
}
