/** What `up` prints when traffic flows. */
import type { Applied, AppliedListener } from "../../bus/kinds/applied.ts"
import { reachable } from "./readiness.ts"

interface Gateway {
  readonly namespace: string
  readonly name: string
  readonly listeners: readonly { readonly name: string; readonly protocol: string; readonly address: string; readonly port: number; readonly specPort: number }[]
}

const gatewaysOf = (listeners: readonly AppliedListener[]): readonly Gateway[] => {
  const gateways = Map.groupBy(listeners, ({ id }) => id.split("/").slice(0, 2).join("/"))
  return [...gateways].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, own]) => {
    const [namespace = "", name = ""] = key.split("/")
    return { namespace, name, listeners: own.map(({ id, protocol, address, port, specPort }) => ({ name: id.split("/")[2] ?? "", protocol, address, port, specPort })) }
  })
}

/** The one line of `up --json`. `credentials`: the file with those of people's commands, for a nats-server of our own. */
export const readyLine = ({ nats, credentials, applied }: { readonly nats: string; readonly credentials: string | undefined; readonly applied: Applied }): string =>
  `${JSON.stringify({ ready: true, nats, ...(credentials === undefined ? {} : { credentials }), admin: applied.admin, gateways: gatewaysOf(applied.listeners) })}\n`

export const readyTable = ({ nats, applied, manifests, demo, data }: { nats: string; applied: Applied; manifests: string; demo: boolean; data: string }): string => {
  const rows: (readonly [string, string])[] = []
  for (const gateway of gatewaysOf(applied.listeners)) {
    for (const listener of gateway.listeners) {
      const where = listener.port === 0 ? "not bound (headgate get notes)" : `http://${reachable(listener.address)}:${listener.port}`
      rows.push([`gateway ${gateway.namespace}/${gateway.name} ${listener.name}`, listener.port === listener.specPort || listener.port === 0 ? where : `${where}  (port ${listener.specPort} asked for)`])
    }
  }
  rows.push(["admin", `${applied.admin}/config`], ["bus", nats], ["manifests", manifests], ["logs", `${data}/logs`])
  const width = Math.max(...rows.map(([name]) => name.length))
  const table = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join("\n")
  const url = rows.find(([, value]) => value.startsWith("http://"))?.[1].split(" ")[0] ?? ""
  const next = demo ? `curl ${url}/         one of two backends, in turn\n  curl ${url}/apple    headers and path changed on the way\n  edit a file in ${manifests}: it is live when you look` : `drop a manifest into ${manifests}: it is live when you look`
  return `Headgate is ready.\n\n${table}\n\nTry next:\n  ${next}\n  npx headgate get         what is configured, and notes on what is wrong\n  npx headgate events -f   every edit and what it became\n\nCtrl-C stops it.\n`
}
