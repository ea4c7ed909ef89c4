/** URL rewrite (Gateway API HTTPURLRewriteFilter): another host or path for the upstream, the query kept. */
import type { Filter } from "../../bus/kinds/config.ts"
import type { Rewrite } from "../table/table.ts"
import { pathEdit } from "./path.ts"

export type RewriteFilter = Extract<Filter, { readonly type: "rewrite" }>

/** Of several filters the first that names a host, and the first that names a path, stand. */
export const compileRewrite = (filters: readonly RewriteFilter[], matchedPrefix: string): Rewrite | null => {
  const host = filters.find((filter) => filter.hostname !== undefined)?.hostname?.toLowerCase()
  const change = filters.find((filter) => filter.path !== undefined)?.path
  if (change === undefined) {
    if (host === undefined) return null
    const fixed = { host, path: undefined }
    return () => fixed
  }
  const edit = pathEdit(change, matchedPrefix)
  return (request) => ({ host, path: request.query === "" ? edit(request) : `${edit(request)}?${request.query}` })
}
