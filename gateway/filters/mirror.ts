/** Request mirror (Gateway API HTTPRequestMirrorFilter): which requests go to another cluster too. */
import type { Filter } from "../../bus/kinds/config.ts"
import type { ClusterHandle, Mirror } from "../table/table.ts"

export type MirrorFilter = Extract<Filter, { readonly type: "mirror" }>

/** As evenly spread as the fraction allows: of every `denominator` requests exactly `numerator`. */
export const compileMirror = ({ numerator, denominator }: MirrorFilter, cluster: ClusterHandle): Mirror => {
  let credit = 0
  return {
    cluster,
    isDue: () => {
      credit += numerator
      if (credit < denominator) return false
      credit -= denominator
      return true
    },
  }
}
