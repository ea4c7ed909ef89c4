/** Notes on matches that never see a request because another route has the same on the same listener and hostname. */
import { canonical } from "../../bus/canonical.ts"
import type { Route, Source } from "../../bus/kinds/config.ts"
import { idOfKey, olderFirst, planeOfKey } from "../gateway-api/names.ts"
import type { Collection } from "../reconcile.ts"
import { reporter } from "./report.ts"

/** What precedence between routes is decided by, and every place a route claims. */
interface Claims {
  readonly source: Source
  readonly created: string
  readonly priority: number
  /** `[plane, listener, hostname, match]` → path of a match, as JSON text; sorted. */
  readonly places: readonly string[]
}

/** Gateway API precedence among equal matches: higher priority, the older route, then id. */
export const noteShadows = (entries: Collection<Route>): void => {
  const claims = entries.map(({ source, created, priority, attach, rules }, _read, key): Claims => {
    const matches = [...new Set(rules.flatMap((rule) => rule.matches.map(canonical)))]
    const places = attach.flatMap(({ listener, hostnames }) => hostnames.flatMap((hostname) => matches.map((match) => JSON.stringify([planeOfKey(key), listener, hostname, match]))))
    return { source, created, priority, places: places.sort() }
  })
  claims.group(
    ({ places }) => places,
    (members, read, place) => {
      if (members.length < 2) return undefined
      const ranked = members
        .map(([key, { source, created, priority }]) => ({ id: idOfKey(key), source, created, priority }))
        .sort((a, b) => b.priority - a.priority || olderFirst(a, b))
      const [winner] = ranked
      const [, listener, hostname, match]: readonly string[] = JSON.parse(place)
      for (const loser of ranked.slice(1)) {
        if (winner === undefined || (loser.source.namespace === winner.source.namespace && loser.source.name === winner.source.name)) continue
        reporter(read, loser.source)("warning", "Shadowed", "spec.rules", `${winner.source.kind} ${winner.source.namespace}/${winner.source.name} has the same match ${match} for host ${hostname} on listener ${listener}, and is older or comes first by name: it gets the requests.`, "Change one of the two matches, or remove one.")
      }
      return undefined
    },
  )
}
