/** Overlays on the rules of a route: who acts on traffic without touching this function. */
import type { Filter, Overlay, Rule, RuleOverlay } from "../../bus/kinds/config.ts"
import { regexProblem } from "../gateway-api/regex.ts"
import type { Collection, Member, Read } from "../reconcile.ts"
import { reporter, type Report } from "../gateway-api/report.ts"

/** Higher priority first, then id. */
const byRank = ([a, one]: Member<Overlay>, [b, two]: Member<Overlay>): number => two.priority - one.priority || (a < b ? -1 : 1)

/** As the object a note is about. */
export const overlayReporter = (read: Read, key: string): Report => reporter(read, { kind: "Overlay", namespace: "", name: key })

/** What `endpoints` can be asked for. */
const CLUSTER = /^service\/[^/]+\/[^/]+\/[1-9][0-9]{0,4}(\/h2c)?$/

/** Overlays that a gateway can apply; the others are in a note and act on nothing. */
export const soundOverlays = (overlays: Collection<Overlay>): Collection<Overlay> =>
  overlays.map((overlay, read, key) => {
    const report = overlayReporter(read, key)
    const { match, filters = [] } = overlay
    let isSound = true
    for (const [i, filter] of filters.entries()) {
      if (filter.type !== "mirror" || CLUSTER.test(filter.cluster)) continue
      isSound = false
      report("error", "UnsupportedValue", `filters[${i}].cluster`, `Overlay ${key} has no effect: "${filter.cluster}" is no id of a cluster.`, "Write service/<namespace>/<name>/<port>, with /h2c behind it for one of a GRPCRoute.")
    }
    if (match === undefined) return isSound ? overlay : undefined
    const expressions = [["match.path", match.path] as const, ...(["headers", "query"] as const).flatMap((list) => match[list].map((test, i) => [`match.${list}[${i}]`, test] as const))]
    for (const [field, { type, value }] of expressions) {
      const problem = type === "regex" ? regexProblem(value) : undefined
      if (problem === undefined) continue
      isSound = false
      report("error", "InvalidRegex", `${field}.value`, `Overlay ${key} has no effect: its regular expression cannot be used: ${problem}.`, "Use RE2 syntax: no look-around, no back-references, small repetition counts.")
    }
    if (match.path.type === "regex" && filters.some(isPrefixEdit)) {
      isSound = false
      report("error", "UnsupportedValue", "filters", `Overlay ${key} has no effect: it replaces the matched prefix, and its match is a regular expression, which has none.`, "Match the path with prefix, or replace the full path.")
    }
    return isSound ? overlay : undefined
  }).named("sound overlays")

/**
 * The rules with what acts on them. Lower ranks act first, so the highest has the last word on an answer, weights,
 * redirect or rewrite, and CORS; header filters and mirrors of all apply, the highest rank's last. An overlay without a match is merged
 * into the rule; from the first with a match on, they go along with it, for the gateway to look at once it has chosen
 * the rule: which rule takes a request never depends on an overlay.
 */
export const withOverlays = (rules: readonly Rule[], overlays: readonly Member<Overlay>[], report: Report): readonly Rule[] => {
  const ranked = [...overlays].sort(byRank)
  reportWinners(ranked, report)
  const rising = ranked.reverse()
  for (const [key, { target, weights }] of rising) {
    if (!rules.some((rule) => actsOn(target, rule))) report("warning", "OverlayNotApplied", "spec.rules", `Overlay ${key} targets rule ${target.rule ?? ""}, which the route does not have.`, "Name a rule of the route, or none for all.")
    if (weights !== undefined && !rules.some((rule) => weightsFor(rule, weights) !== undefined)) {
      report("warning", "OverlayNotApplied", "spec.rules", `Overlay ${key} gives weights to clusters the route does not refer to.`, "Name clusters of the route's backendRefs.")
    }
  }
  return rules.map((rule) => {
    const acting = rising.flatMap(([key, overlay]) => (actsOn(overlay.target, rule) ? (actionOn(rule, overlay, key, report) ?? []) : []))
    const from = acting.findIndex(({ match }) => match !== undefined)
    const merged = acting.slice(0, from === -1 ? undefined : from).reduce(applied, rule)
    return from === -1 ? merged : { ...merged, overlays: acting.slice(from) }
  })
}

const actsOn = (target: Overlay["target"], rule: Rule): boolean => target.rule === undefined || rule.name === target.rule

/** Undefined when there is nothing in it for this rule. */
const actionOn = (rule: Rule, { match, filters = [], weights, answer }: Overlay, key: string, report: Report): RuleOverlay | undefined => {
  // A rewrite means nothing to a rule that has no backend, and must not take its redirect away.
  const apt = rule.backends.length > 0 ? filters : filters.filter(({ type }) => type !== "rewrite")
  const hasOwnPath = match !== undefined && !(match.path.type === "prefix" && match.path.value === "/")
  if (!hasOwnPath && apt.some(isPrefixEdit) && rule.matches.some(({ path }) => path.type === "regex")) {
    report("warning", "OverlayNotApplied", "spec.rules", `Overlay ${key} replaces the matched prefix, and rule ${rule.name ?? ""} of the route matches a regular expression, which has none: it does not act on that rule.`, "Give the overlay a match with a prefix, or replace the full path.")
    return undefined
  }
  const own = weights === undefined ? undefined : weightsFor(rule, weights)
  if (apt.length === 0 && own === undefined && answer === undefined) return undefined
  return { ...(match === undefined ? {} : { match }), filters: apt, ...(own === undefined ? {} : { weights: own }), ...(answer === undefined ? {} : { answer }) }
}

/** One a backend; undefined when none of them is named. */
const weightsFor = ({ backends }: Rule, weights: Readonly<Record<string, number>>): readonly number[] | undefined => {
  const named = ({ cluster }: Rule["backends"][number]): number | undefined => (cluster === undefined ? undefined : weights[cluster])
  return backends.some((backend) => named(backend) !== undefined) ? backends.map((backend) => named(backend) ?? backend.weight) : undefined
}

const applied = (rule: Rule, { filters, weights, answer }: RuleOverlay): Rule => ({
  ...rule,
  // A rule has at most one of redirect and rewrite, and one CORS filter: the later replaces the earlier.
  filters: [...rule.filters.filter((filter) => ![isDestination, isCors].some((is) => is(filter) && filters.some(is))), ...filters],
  backends: weights === undefined ? rule.backends : rule.backends.map((backend, i) => ({ ...backend, weight: weights[i] ?? backend.weight })),
  ...(answer === undefined ? {} : { answer }),
})

const isDestination = ({ type }: Filter): boolean => type === "redirect" || type === "rewrite"
const isCors = ({ type }: Filter): boolean => type === "cors"
const isPrefixEdit = (filter: Filter): boolean => (filter.type === "redirect" || filter.type === "rewrite") && filter.path?.type === "prefix"

const ASPECTS = ["answer", "weights", "redirect or rewrite", "CORS filter"] as const
const speaksOf = ({ filters = [], ...overlay }: Overlay, aspect: (typeof ASPECTS)[number]): boolean => {
  if (aspect === "redirect or rewrite") return filters.some(isDestination)
  return aspect === "CORS filter" ? filters.some(isCors) : overlay[aspect] !== undefined
}

const reportWinners = (ranked: readonly Member<Overlay>[], report: Report): void => {
  for (const aspect of ASPECTS) {
    const [winner, ...losers] = ranked.filter(([, overlay]) => speaksOf(overlay, aspect)).map(([key]) => key)
    if (winner === undefined || losers.length === 0) continue
    report("info", "OverlayConflict", "spec.rules", `Overlay ${winner} wins over ${losers.join(", ")}: it decides the ${aspect} wherever both act.`, "Give the overlay that should win a higher priority.")
  }
}
