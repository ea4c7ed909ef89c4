/**
 * HTTPRoutes and GRPCRoutes that want one hostname of one listener: their rules are not merged (GRPCRouteRule.matches), so
 * one of each two gives way. As GRPCRouteSpec.hostnames has it, the older stays, then the first by `<namespace>/<name>`,
 * and the other does not attach to that listener at all. Only hostnames that are the same there are looked at: which of two
 * different ones a request is for is settled by the more specific.
 */
import type { GRPCRoute, HTTPRoute } from "../../bus/kinds/gateway-api.ts"
import type { Collection, Member, Read } from "../reconcile.ts"
import type { RouteKind } from "./route-kinds.ts"
import { olderFirst } from "./names.ts"
import { parentsOf, yieldKey, type Places, type Yield } from "./parents.ts"

/** A route at a listener, by `yieldKey`. */
interface Claim {
  readonly kind: RouteKind
  readonly namespace: string
  readonly name: string
  readonly created: string
  /** `<plane>/<listener id>` */
  readonly listener: string
  /** As they are there. */
  readonly hostnames: readonly string[]
}

const claimsOf = (kind: RouteKind, route: HTTPRoute | GRPCRoute, places: Places, read: Read): readonly Member<Claim>[] => {
  const { namespace, name, creationTimestamp: created = "" } = route.metadata
  const claims = new Map<string, Claim>()
  for (const { gateway, attached } of parentsOf(kind, route, places, read)) {
    for (const { listener: id, hostnames } of attached) {
      const listener = `${gateway?.plane ?? ""}/${id}`
      claims.set(yieldKey(kind, route.metadata, listener), { kind, namespace, name, created, listener, hostnames: [...hostnames.keys()] })
    }
  }
  return [...claims]
}

const places = ({ listener, hostnames }: Claim): readonly string[] => hostnames.map((hostname) => `${listener} ${hostname}`)
const there = (): true => true

/**
 * Work is in proportion to routes that share a Gateway with one of the other kind, and to the hostnames both want.
 * `base` as for routes, without yields.
 */
export const yieldsOf = (httpRoutes: Collection<HTTPRoute>, grpcRoutes: Collection<GRPCRoute>, base: Places): Collection<Yield> => {
  const ofGrpc = grpcRoutes.flatMap((route, read) => claimsOf("GRPCRoute", route, base, read)).named("hostnames of GRPCRoutes")
  const gateways = grpcRoutes.group(({ metadata, spec }) => [...new Set((spec.parentRefs ?? []).map((ref) => `${ref.namespace ?? metadata.namespace}/${ref.name}`))], there).named("Gateways of GRPCRoutes")
  const wantedByGrpc = ofGrpc.group(places, there).named("places of GRPCRoutes")
  const ofHttp = httpRoutes.flatMap((route, read): readonly Member<Claim>[] => {
    const { metadata, spec } = route
    if (!(spec.parentRefs ?? []).some((ref) => read(gateways, `${ref.namespace ?? metadata.namespace}/${ref.name}`) === true)) return []
    return claimsOf("HTTPRoute", route, base, read).filter(([, claim]) => places(claim).some((place) => read(wantedByGrpc, place) === true))
  }).named("hostnames of HTTPRoutes")
  const wantedByHttp = ofHttp.group(places, there).named("places of HTTPRoutes")
  const contested = ofGrpc.map((claim, read) => (places(claim).some((place) => read(wantedByHttp, place) === true) ? claim : undefined)).named("contested GRPCRoutes")
  return contested
    .union(ofHttp)
    .group(({ listener }) => [listener], settled)
    .named("contested listeners")
    .flatMap((yields) => yields)
    .named("routes that give way")
}

/** In order of precedence each has the hostnames that none of the other kind has by then, or none. */
const settled = (members: readonly Member<Claim>[]): readonly Member<Yield>[] => {
  const ranked = members.map(([key, claim]) => ({ key, claim, created: claim.created, id: `${claim.namespace}/${claim.name} ${claim.kind}` })).sort(olderFirst)
  const holders = new Map<string, Claim>()
  const yields: Member<Yield>[] = []
  for (const { key, claim } of ranked) {
    const hostname = claim.hostnames.find((each) => (holders.get(each)?.kind ?? claim.kind) !== claim.kind)
    const holder = hostname === undefined ? undefined : holders.get(hostname)
    if (hostname !== undefined && holder !== undefined) yields.push([key, { hostname, to: { kind: holder.kind, namespace: holder.namespace, name: holder.name } }])
    else for (const each of claim.hostnames) if (!holders.has(each)) holders.set(each, claim)
  }
  return yields
}
