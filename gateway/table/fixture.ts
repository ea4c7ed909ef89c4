/** Short entries and requests for tests. */
import type { Backend, Filter, Listener, Match, Route, Rule } from "../../bus/kinds/config.ts"
import { TableCompiler } from "./compile.ts"
import type { RequestView } from "./table.ts"

export const listener = (name: string, more: Partial<Listener> = {}): Listener => ({
  schema: 1, gateway: { namespace: "default", name: "gw" }, name, protocol: "HTTP", port: 80, addresses: [], created: "2026-01-01T00:00:00Z", ...more,
})

export const match = (path: string, more: Partial<Omit<Match, "path">> & { readonly type?: Match["path"]["type"] } = {}): Match => {
  const { type, ...rest } = more
  return { path: { type: type ?? "prefix", value: path }, headers: [], query: [], ...rest }
}

export const backend = (cluster: string, weight = 1, filters: readonly Filter[] = []): Backend => ({ weight, cluster, filters })

export const rule = (matches: readonly Match[], cluster: string | readonly Backend[] = "c", more: Partial<Rule> = {}): Rule => ({
  matches, filters: [], backends: typeof cluster === "string" ? [backend(cluster)] : cluster, ...more,
})

export const route = (name: string, rules: readonly Rule[], more: Partial<Route> & { readonly on?: string; readonly hosts?: readonly string[] } = {}): Route => {
  const { on, hosts, ...rest } = more
  return {
    schema: 1, source: { kind: "HTTPRoute", namespace: "default", name }, created: "2026-01-01T00:00:00Z", priority: 0,
    attach: [{ listener: on ?? "l", hostnames: hosts ?? ["*"] }], rules, ...rest,
  }
}

export const request = (method: string, url: string, headers: Readonly<Record<string, string>> = {}): RequestView => {
  const slash = url.indexOf("/")
  const mark = url.indexOf("?")
  return {
    method,
    host: url.slice(0, slash),
    path: url.slice(slash, mark === -1 ? undefined : mark),
    query: mark === -1 ? "" : url.slice(mark + 1),
    header: (name) => headers[name],
  }
}

/** Weights as a fixed choice, so that what a test sees depends on matching alone. */
export const compiler = (): TableCompiler =>
  new TableCompiler({ endpointOf: (address, port) => ({ address, port }), weighted: (weights) => () => weights.findIndex((weight) => weight > 0) })
