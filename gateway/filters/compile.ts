/** A list of filters, of a rule or of one backend, as the plain functions a request runs. */
import type { Filter } from "../../bus/kinds/config.ts"
import type { ClusterHandle, CompiledFilters } from "../table/table.ts"
import { compileCors, type CorsFilter } from "./cors.ts"
import { compileHeaderEdit, type HeaderFilter } from "./headers.ts"
import { compileMirror, type MirrorFilter } from "./mirror.ts"
import { compileRedirect, type RedirectFilter } from "./redirect.ts"
import { compileRewrite, type RewriteFilter } from "./rewrite.ts"

export const NO_FILTERS: CompiledFilters = { requestHeaders: null, responseHeaders: null, redirect: null, rewrite: null, cors: null, mirrors: null }

/** Of several redirects the first stands, of several CORS filters too. `matchedPrefix` as in path.ts. */
export const compileFilters = (filters: readonly Filter[], matchedPrefix: string, clusterOf: (id: string) => ClusterHandle): CompiledFilters => {
  if (filters.length === 0) return NO_FILTERS
  const request: HeaderFilter[] = []
  const response: HeaderFilter[] = []
  const rewrites: RewriteFilter[] = []
  const mirrors: MirrorFilter[] = []
  let redirect: RedirectFilter | undefined
  let cors: CorsFilter | undefined
  for (const filter of filters) {
    switch (filter.type) {
      case "requestHeaders":
        request.push(filter)
        break
      case "responseHeaders":
        response.push(filter)
        break
      case "rewrite":
        rewrites.push(filter)
        break
      case "redirect":
        redirect ??= filter
        break
      case "mirror":
        mirrors.push(filter)
        break
      case "cors":
        cors ??= filter
        break
    }
  }
  return {
    requestHeaders: compileHeaderEdit(request),
    responseHeaders: compileHeaderEdit(response),
    redirect: redirect === undefined ? null : compileRedirect(redirect, matchedPrefix),
    rewrite: compileRewrite(rewrites, matchedPrefix),
    cors: cors === undefined ? null : compileCors(cors),
    mirrors: mirrors.length === 0 ? null : mirrors.map((filter) => compileMirror(filter, clusterOf(filter.cluster))),
  }
}

/** True when an edit needs to know which prefix matched, so that a rule cannot be shared by all its matches. */
export const needsPrefix = (filters: readonly Filter[]): boolean =>
  filters.some((filter) => (filter.type === "rewrite" || filter.type === "redirect") && filter.path?.type === "prefix")
