/** What one socket serves: listeners by hostname, each with its routes by hostname. */
import { type HostIndex, continuesBackwards } from "./host.ts"
import type { HostRoutes } from "./match.ts"
import { overlaid } from "./overlay.ts"
import { childAt, type RadixNode } from "./radix.ts"
import type { CompiledRule, PortTable, Presenter, RequestView, TableRule } from "./table.ts"

export interface CompiledListener {
  readonly id: string
  readonly routes: HostIndex<HostRoutes>
  /** null: of HTTP. */
  readonly presenter: Presenter | null
}

export class CompiledPort implements PortTable {
  readonly port: number
  readonly protocol: "HTTP" | "HTTPS"
  readonly listeners: HostIndex<CompiledListener>

  constructor(port: number, protocol: "HTTP" | "HTTPS", listeners: HostIndex<CompiledListener>) {
    this.port = port
    this.protocol = protocol
    this.listeners = listeners
  }

  /**
   * A request belongs to the most specific listener that takes its host, and to no other even when that one has no
   * route for it (Gateway API, listener isolation).
   */
  find(request: RequestView): CompiledRule | null {
    const listener = this.listeners.mostSpecific(request.host)
    const rule = listener === null ? null : findIn(listener.routes, request)
    return rule === null || rule.overlays === null ? rule : overlaid(rule, rule.overlays, request)
  }

  presenter(serverName: string): Presenter | null {
    return this.listeners.mostSpecific(serverName)?.presenter ?? null
  }

  isMisdirected(serverName: string, host: string): boolean {
    const listener = this.listeners.mostSpecific(host)
    return listener !== null && listener !== this.listeners.mostSpecific(serverName)
  }
}

/**
 * Priority comes before any other comparison, so with several host patterns that take the host their levels are
 * visited together, highest first; within a level exact host, then longest wildcard, then any.
 */
const findIn = (routes: HostIndex<HostRoutes>, request: RequestView): TableRule | null => {
  const { host } = request
  const exact = routes.exact.get(host)
  const { wildcard, any } = routes
  if (wildcard === null) {
    if (any === null) return exact === undefined ? null : exact.find(request)
    if (exact === undefined) return any.find(request)
  }
  let ceiling = Infinity
  for (;;) {
    let priority = exact === undefined ? -Infinity : exact.below(ceiling)
    if (any !== null) priority = Math.max(priority, any.below(ceiling))
    if (wildcard !== null) priority = Math.max(priority, wildcardBelow(wildcard, host, 0, ceiling))
    if (priority === -Infinity) return null
    let rule = exact === undefined ? null : exact.findAt(priority, request)
    if (rule === null && wildcard !== null) rule = wildcardFind(wildcard, host, 0, priority, request)
    if (rule === null && any !== null) rule = any.findAt(priority, request)
    if (rule !== null) return rule
    ceiling = priority
  }
}

const next = (node: RadixNode<HostRoutes>, host: string, at: number): RadixNode<HostRoutes> | null => {
  if (at >= host.length) return null
  const child = childAt(node, host.charCodeAt(host.length - 1 - at))
  return child !== null && continuesBackwards(child.label, host, at) ? child : null
}

const wildcardBelow = (node: RadixNode<HostRoutes>, host: string, at: number, ceiling: number): number => {
  const child = next(node, host, at)
  const deeper = child === null ? -Infinity : wildcardBelow(child, host, at + child.label.length, ceiling)
  return node.value === null ? deeper : Math.max(deeper, node.value.below(ceiling))
}

const wildcardFind = (node: RadixNode<HostRoutes>, host: string, at: number, priority: number, request: RequestView): TableRule | null => {
  const child = next(node, host, at)
  if (child !== null) {
    const rule = wildcardFind(child, host, at + child.label.length, priority, request)
    if (rule !== null) return rule
  }
  return node.value === null ? null : node.value.findAt(priority, request)
}
