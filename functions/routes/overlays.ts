/** Overlays on the rules of a route (DESIGN §4): who acts on traffic without touching this function. */
import { canonical } from "../../bus/canonical.ts"
import type { Filter, Match, Overlay, Rule } from "../../bus/kinds/config.ts"
import type { Member } from "../reconcile.ts"
import { conjunction } from "./conjunction.ts"
import type { Report } from "./report.ts"

/** Higher priority first, then id. */
const byRank = ([a, one]: Member<Overlay>, [b, two]: Member<Overlay>): number => two.priority - one.priority || (a < b ? -1 : 1)

/**
 * The rules with every overlay merged in. Lower ranks are applied first, so the highest has the last word on an
 * answer, weights, redirect or rewrite; header filters of all apply, the highest rank's last. An overlay with a match
 * splits each rule in the part it acts on, first, and the rest.
 *
 * The part is as specific as both matches together, so it may also take requests that another route's rule of
 * a specificity in between had before.
 */
export const withOverlays = (rules: readonly Rule[], overlays: readonly Member<Overlay>[], report: Report): readonly Rule[] => {
  const ranked = [...overlays].sort(byRank)
  reportWinners(ranked, report)
  let merged = rules
  for (const [key, overlay] of ranked.reverse()) {
    const { match, target } = overlay
    const actsOn = (rule: Rule): boolean => target.rule === undefined || rule.name === target.rule
    if (!rules.some(actsOn)) report("warning", "OverlayNotApplied", "spec.rules", `Overlay ${key} targets rule ${target.rule ?? ""}, which the route does not have.`, "Name a rule of the route, or none for all.")
    merged = merged.flatMap((rule) => {
      if (!actsOn(rule)) return [rule]
      return match === undefined ? [applied(rule, overlay)] : split(rule, match, overlay, key, report)
    })
    if (overlay.weights !== undefined && !rules.some((rule) => rule.backends.some(({ cluster }) => cluster !== undefined && cluster in (overlay.weights ?? {})))) {
      report("warning", "OverlayNotApplied", "spec.rules", `Overlay ${key} gives weights to clusters the route does not refer to.`, "Name clusters of the route's backendRefs.")
    }
  }
  return merged
}

const split = (rule: Rule, match: Match, overlay: Overlay, key: string, report: Report): readonly Rule[] => {
  const part = new Map<string, Match>()
  const rest: Match[] = []
  for (const own of rule.matches) {
    const both = conjunction(own, match)
    if (both === "inexpressible") report("warning", "OverlayNotApplied", "spec.rules", `Overlay ${key} and the route both match paths, one by a regular expression: their overlap cannot be expressed.`, "Match the path with Exact or PathPrefix, or headers only.")
    else if (both !== undefined) part.set(canonical(both), both)
    if (both === undefined || both === "inexpressible" || canonical(both) !== canonical(own)) rest.push(own)
  }
  return [...(part.size === 0 ? [] : [applied({ ...rule, matches: [...part.values()] }, overlay)]), ...(rest.length === 0 ? [] : [{ ...rule, matches: rest }])]
}

const applied = (rule: Rule, { answer, weights, filters = [] }: Overlay): Rule => ({
  ...rule,
  filters: mergeFilters(rule, filters),
  backends:
    weights === undefined
      ? rule.backends
      : rule.backends.map((backend) => ({ ...backend, weight: (backend.cluster === undefined ? undefined : weights[backend.cluster]) ?? backend.weight })),
  ...(answer === undefined ? {} : { answer }),
})

const isDestination = ({ type }: Filter): boolean => type === "redirect" || type === "rewrite"

/**
 * A rule has at most one of redirect and rewrite: the later replaces the earlier. But a rewrite means nothing to a rule
 * that has no backend, and must not take its redirect away.
 */
const mergeFilters = ({ filters, backends }: Rule, more: readonly Filter[]): readonly Filter[] => {
  const apt = backends.length > 0 ? more : more.filter(({ type }) => type !== "rewrite")
  return apt.some(isDestination) ? [...filters.filter((filter) => !isDestination(filter)), ...apt] : [...filters, ...apt]
}

const ASPECTS = ["answer", "weights", "redirect or rewrite"] as const
const speaksOf = (overlay: Overlay, aspect: (typeof ASPECTS)[number]): boolean =>
  aspect === "redirect or rewrite" ? (overlay.filters ?? []).some(isDestination) : overlay[aspect] !== undefined

const reportWinners = (ranked: readonly Member<Overlay>[], report: Report): void => {
  for (const aspect of ASPECTS) {
    const [winner, ...losers] = ranked.filter(([, overlay]) => speaksOf(overlay, aspect)).map(([key]) => key)
    if (winner === undefined || losers.length === 0) continue
    report("info", "OverlayConflict", "spec.rules", `Overlay ${winner} wins over ${losers.join(", ")}: it decides the ${aspect} wherever both act.`, "Give the overlay that should win a higher priority.")
  }
}
