/** Redirect (Gateway API HTTPRequestRedirectFilter): status and Location, the query kept. */
import type { Filter } from "../../bus/kinds/config.ts"
import type { Redirect } from "../table/table.ts"
import { pathEdit } from "./path.ts"

export type RedirectFilter = Extract<Filter, { readonly type: "redirect" }>

const wellKnownPort = (scheme: string): number | undefined => (scheme === "http" ? 80 : scheme === "https" ? 443 : undefined)

/**
 * Scheme, host and path default to the request's. The port is the filter's; else, where the filter names a scheme,
 * that scheme's well-known port (the listener's if it has none); else the listener's. `:80` of http and `:443` of
 * https are left out. A request without host (HTTP/1.0) gets a relative reference, unless the filter names one.
 */
export const compileRedirect = (filter: RedirectFilter, matchedPrefix: string): Redirect => {
  const edit = filter.path === undefined ? undefined : pathEdit(filter.path, matchedPrefix)
  const { status } = filter
  const wanted = filter.scheme?.toLowerCase()
  return (request, listenerScheme, listenerPort) => {
    const scheme = wanted ?? listenerScheme
    const port = filter.port ?? (wanted === undefined ? listenerPort : (wellKnownPort(wanted) ?? listenerPort))
    const authority = filter.hostname ?? request.host
    const path = edit === undefined ? request.path : edit(request)
    const query = request.query === "" ? "" : `?${request.query}`
    if (authority === "") return { status, location: path + query }
    return { status, location: `${scheme}://${authority}${port === wellKnownPort(scheme) ? "" : `:${port}`}${path}${query}` }
  }
}
