/** Header edits of requests and responses (Gateway API HTTPHeaderFilter). */
import type { Filter } from "../../bus/kinds/config.ts"
import type { HeaderEdit } from "../table/table.ts"

export type HeaderFilter = Extract<Filter, { readonly type: "requestHeaders" | "responseHeaders" }>

/**
 * Filters run in the order given; within one: remove, set, add, so that a name both removed and set ends up set.
 * Null when there is nothing to do.
 */
export const compileHeaderEdit = (filters: readonly HeaderFilter[]): HeaderEdit | null => {
  const busy = filters.filter((filter) => filter.set.length + filter.add.length + filter.remove.length > 0)
  if (busy.length === 0) return null
  return (headers) => {
    for (const filter of busy) {
      for (const name of filter.remove) headers.remove(name)
      for (const [name, value] of filter.set) headers.set(name, value)
      for (const [name, value] of filter.add) headers.add(name, value)
    }
  }
}
