/** Notes on matches that never see a request because another has the same: of the route itself, or of an older one. */
import { canonical } from "../../bus/canonical.ts"
import type { Match, Route } from "../../bus/kinds/config.ts"
import { ANY_HOST, moreSpecificHostname } from "../gateway-api/hostname.ts"
import { matchText } from "../gateway-api/match-text.ts"
import { idOfKey, olderFirst, planeOfKey } from "../gateway-api/names.ts"
import type { Collection } from "../reconcile.ts"
import { reporter, type Report } from "../gateway-api/report.ts"

/** For the matches of one route, in their order: of equal ones the first gets the requests (HTTPRouteRule.matches). */
export const repetitions = (report: Report): ((match: Match, field: string) => void) => {
  const firstFields = new Map<string, string>()
  /** Most routes have no other: it need not be put into words. */
  let sole: readonly [Match, string] | undefined
  return (match, field) => {
    if (sole === undefined) {
      sole = [match, field]
      return
    }
    if (firstFields.size === 0) firstFields.set(canonical(sole[0]), sole[1])
    const text = canonical(match)
    const first = firstFields.get(text)
    if (first === undefined) firstFields.set(text, field)
    else if (ruleField(first) === ruleField(field)) report("info", "Shadowed", field, `${first} is the same match of the same rule: this one changes nothing.`, "Remove one of the two.")
    else report("warning", "Shadowed", field, `${first} of the same route is the same match and comes first: it gets the requests.`, "Change one of the two matches, or remove one.")
  }
}

const ruleField = (field: string): string => field.slice(0, field.lastIndexOf(".matches["))

/** Every place a route claims: `[plane, listener, hostname, match]` as JSON text. */
const placesOf = ({ attach, rules }: Route, key: string): readonly string[] => {
  const matches = [...new Set(rules.flatMap((rule) => rule.matches.map(canonical)))]
  return attach.flatMap(({ listener, hostnames }) => hostnames.flatMap((hostname) => matches.map((match) => JSON.stringify([planeOfKey(key), listener, hostname, match]))))
}

const ownAt = (attach: Route["attach"], listener: string, hostname: string): string => {
  const there = attach.find((each) => each.listener === listener && each.hostnames.includes(hostname))
  return there?.own?.[there.hostnames.indexOf(hostname)] ?? hostname
}

/** Matches of other routes on the same listener and hostname. Gateway API precedence among equal ones: higher priority, the more specific hostname of its own, the older route, then id. */
export const noteShadows = (entries: Collection<Route>): void => {
  entries.group(
    placesOf,
    (members, read, place) => {
      if (members.length < 2) return undefined
      const [, listener = "", hostname = "", text = ""]: readonly string[] = JSON.parse(place)
      const ranked = members
        .map(([key, { source, created, priority, attach }]) => ({ id: idOfKey(key), source, created, priority, own: ownAt(attach, listener, hostname) }))
        .sort((a, b) => b.priority - a.priority || moreSpecificHostname(a.own, b.own) || olderFirst(a, b))
      const [winner] = ranked
      const match: Match = JSON.parse(text)
      for (const loser of ranked.slice(1)) {
        if (winner === undefined || (loser.source.namespace === winner.source.namespace && loser.source.name === winner.source.name)) continue
        reporter(read, loser.source)("warning", "Shadowed", "spec.rules", `${winner.source.kind} ${winner.source.namespace}/${winner.source.name} has the same match (${matchText(match)}) for ${hostname === ANY_HOST ? "every host" : `host ${hostname}`} on listener ${listener}, and ${winner.own === loser.own ? "is older or comes first by name" : `its own hostname ${winner.own} is more specific`}: it gets the requests.`, "Change one of the two matches, or remove one.")
      }
      return undefined
    },
  ).named("shadowed matches")
}
