/** HTTPRouteFilter → Filter; those that GRPCRouteFilter has are the same. */
import type { Filter } from "../../bus/kinds/config.ts"
import type { CORSFilter, HeaderModifier, HTTPRouteFilter, PathModifier, RequestMirror } from "../../bus/kinds/gateway-api.ts"
import { CORS_ORIGIN } from "../../bus/kinds/httproute-limits.ts"
import { protocolOf, serviceClusterId } from "./names.ts"
import { refFinding, type RefContext } from "./references.ts"
import type { Report } from "./report.ts"

/** What GRPCRouteFilter has of the union; a filter of any other type is one that cannot be done. */
const OF_GRPC: ReadonlySet<string> = new Set(["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"])

export interface FilterContext extends RefContext {
  readonly report: Report
}

/**
 * The filters of a rule or of one backend, in their order; undefined when one of them cannot be done. A filter must
 * not be skipped (HTTPRouteRule.filters): what it would have handled answers 500.
 */
export const filtersOf = (filters: readonly HTTPRouteFilter[] | undefined, field: string, context: FilterContext): readonly Filter[] | undefined => {
  const { report } = context
  const made: Filter[] = []
  let possible = true
  for (const [i, filter] of (filters ?? []).entries()) {
    const one = filterOf(filter, `${field}[${i}]`, context)
    if (one !== undefined) made.push(...one)
    else {
      possible = false
      report("error", "UnsupportedValue", `${field}[${i}]`, `Filter type ${filter.type} is not supported; what it applies to answers 500.`, "Remove the filter.")
    }
  }
  if (made.some((filter) => filter.type === "redirect") && made.some((filter) => filter.type === "rewrite")) {
    possible = false
    report("error", "IncompatibleFilters", field, "RequestRedirect and URLRewrite exclude each other; what they apply to answers 500.", "Remove one of the two.")
  }
  return possible ? made : undefined
}

/** None: it does nothing, which is said. */
const filterOf = (filter: HTTPRouteFilter, field: string, context: FilterContext): readonly Filter[] | undefined => {
  if (context.kind === "GRPCRoute" && !OF_GRPC.has(filter.type)) return undefined
  if (filter.type === "RequestMirror") return filter.requestMirror === undefined ? undefined : mirrorOf(filter.requestMirror, `${field}.requestMirror`, context)
  const one = plainFilterOf(filter, field, context.report)
  return one === undefined ? undefined : [one]
}

const plainFilterOf = (filter: HTTPRouteFilter, field: string, report: Report): Filter | undefined => {
  switch (filter.type) {
    case "RequestHeaderModifier":
      return filter.requestHeaderModifier === undefined ? undefined : { type: "requestHeaders", ...headerEdit(filter.requestHeaderModifier) }
    case "ResponseHeaderModifier":
      return filter.responseHeaderModifier === undefined ? undefined : { type: "responseHeaders", ...headerEdit(filter.responseHeaderModifier) }
    case "RequestRedirect": {
      if (filter.requestRedirect === undefined) return undefined
      const { scheme, hostname, port, path, statusCode } = filter.requestRedirect
      const edit = pathEdit(path)
      if (path !== undefined && edit === undefined) return undefined
      return {
        type: "redirect",
        ...(scheme === undefined ? {} : { scheme }),
        ...(hostname === undefined ? {} : { hostname }),
        ...(port === undefined ? {} : { port }),
        ...(edit === undefined ? {} : { path: edit }),
        status: statusCode,
      }
    }
    case "URLRewrite": {
      if (filter.urlRewrite === undefined) return undefined
      const { hostname, path } = filter.urlRewrite
      const edit = pathEdit(path)
      if (path !== undefined && edit === undefined) return undefined
      return { type: "rewrite", ...(hostname === undefined ? {} : { hostname }), ...(edit === undefined ? {} : { path: edit }) }
    }
    case "CORS":
      return filter.cors === undefined ? undefined : corsOf(filter.cors, `${field}.cors`, report)
    default:
      return undefined
  }
}

/** HTTPRequestMirrorFilter.backendRef: what cannot be referred to is left out; requests are not harmed by it. */
const mirrorOf = ({ backendRef, percent, fraction = { numerator: percent ?? 100, denominator: 100 } }: RequestMirror, field: string, context: FilterContext): readonly Filter[] => {
  const finding = refFinding(backendRef, `${field}.backendRef`, context, "nothing is mirrored to it")
  if (finding !== undefined) context.report(finding.severity, finding.reason, finding.field, finding.message, finding.fix)
  if (finding !== undefined || backendRef.port === undefined) return []
  return [{ type: "mirror", cluster: serviceClusterId(backendRef.namespace ?? context.namespace, backendRef.name, backendRef.port, protocolOf(context.kind)), ...fraction }]
}

const corsOf = ({ allowOrigins = [], allowMethods = [], allowHeaders = [], exposeHeaders = [], allowCredentials = false, maxAge }: CORSFilter, field: string, report: Report): Filter => {
  const origins = allowOrigins.flatMap((origin, i) => {
    if (CORS_ORIGIN.test(origin)) return [plainOrigin(origin)]
    report("error", "UnsupportedValue", `${field}.allowOrigins[${i}]`, `"${origin}" is not an origin: nothing is shared with it.`, "Write scheme, host and port, such as https://*.example.com.")
    return []
  })
  if (allowCredentials && exposeHeaders.includes("*")) {
    report("warning", "UnsupportedValue", `${field}.exposeHeaders`, 'With credentials browsers take "*" for the name of a header, so it is not sent.', "Name the headers.")
  }
  return { type: "cors", origins: [...new Set(origins)], methods: [...new Set(allowMethods)], headers: [...new Set(allowHeaders)], exposed: [...new Set(exposeHeaders)].filter((name) => !allowCredentials || name !== "*"), credentials: allowCredentials, maxAge }
}

/** As browsers write it: lower case, without a port that is its scheme's own. */
const plainOrigin = (origin: string): string => origin.toLowerCase().replace(/^(http:.*):0*80$|^(https:.*):0*443$/, "$1$2")

const headerEdit = ({ set = [], add = [], remove = [] }: HeaderModifier) => ({
  set: set.map(({ name, value }): [string, string] => [name, value]),
  add: add.map(({ name, value }): [string, string] => [name, value]),
  remove: [...remove],
})

const pathEdit = (path: PathModifier | undefined): { readonly type: "full" | "prefix"; readonly value: string } | undefined => {
  if (path?.type === "ReplaceFullPath") return { type: "full", value: path.replaceFullPath ?? "" }
  if (path?.type === "ReplacePrefixMatch") return { type: "prefix", value: path.replacePrefixMatch ?? "" }
  return undefined
}
