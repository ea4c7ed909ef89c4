/**
 * Which gateway pods serve what was committed, by their acks. Counted are pods that are ready and have said something
 * within a quarter of an hour (bus/presence.ts): one that is frozen or cut off is named as lacking, one that died is no
 * longer after that time. A pod that starts is not waited for while others serve: it is ready only once it is complete.
 */
import type { Applied } from "../../bus/kinds/applied.ts"
import { AWAY_AFTER } from "../../bus/presence.ts"

export interface Ack {
  readonly applied: Applied
  /** When the server stored it, ms. */
  readonly time: number
}

/** The last commit of one unit of one data plane. */
export interface Target {
  readonly plane: string
  readonly fn: string
  readonly rev: number
  readonly epoch: number
  readonly digest: string
}

export interface Wanted extends Target {
  /** Something is configured for the data plane, so that somebody has to serve it. */
  readonly hasListeners: boolean
}

export interface Standing {
  /** Pods that serve everything: `<plane>/<pod>` and when they said so. */
  readonly serving: readonly { readonly pod: string; readonly since: number }[]
  /** Who lacks what; sentences. Empty: every pod that counts serves everything. */
  readonly lacking: readonly string[]
  /** Pods that have said nothing for too long and are not waited for; sentences. */
  readonly away: readonly string[]
}

export const standing = (targets: readonly Wanted[], acks: Iterable<Ack>, now: number): Standing => {
  const byPlane = Map.groupBy(acks, ({ applied }) => applied.plane)
  const serving: { pod: string; since: number }[] = []
  const lacking: string[] = []
  const away: string[] = []
  for (const [plane, wanted] of Map.groupBy(targets, (target) => target.plane)) {
    const all = byPlane.get(plane) ?? []
    const isThere = ({ time }: Ack): boolean => now - time <= AWAY_AFTER
    const ready = all.filter((ack) => ack.applied.ready && isThere(ack))
    for (const { applied, time } of all) {
      if (applied.ready && now - time > AWAY_AFTER && lacks(applied, wanted) !== undefined) away.push(`gateway ${applied.plane}/${applied.pod} has said nothing since ${new Date(time).toISOString()} and is not waited for`)
    }
    if (ready.length === 0 && wanted.some(({ hasListeners }) => hasListeners)) {
      const starting = all.filter((ack) => !ack.applied.ready && isThere(ack)).map(({ applied }) => `; ${applied.pod}: ${applied.waiting ?? "not ready"}`)
      lacking.push(`no gateway of data plane ${plane} is ready${starting.join("")}`)
    }
    for (const { applied, time } of ready) {
      const lack = lacks(applied, wanted)
      if (lack === undefined) serving.push({ pod: `${plane}/${applied.pod}`, since: time })
      else lacking.push(`gateway ${plane}/${applied.pod} ${lack} (last heard of at ${new Date(time).toISOString().slice(11, 23)})`)
    }
  }
  return { serving, lacking, away }
}

const lacks = ({ units, listeners }: Applied, wanted: readonly Target[]): string | undefined => {
  const behind = wanted.flatMap((target) => {
    const at = units[target.fn]
    if (at !== undefined && hasReached(at, target)) return []
    return [`${at === undefined ? `nothing of ${target.fn}` : `${target.fn} at revision ${at.rev}${at.epoch === target.epoch ? "" : ` of epoch ${at.epoch}`}`}, not yet ${target.rev}${at === undefined || at.epoch === target.epoch ? "" : ` of epoch ${target.epoch}`}`]
  })
  if (behind.length > 0) return `serves ${behind.join(", ")}`
  const unbound = listeners.filter(({ port, error }) => port === 0 && error === undefined)
  return unbound.length > 0 ? `has not bound ${unbound.map(({ id, specPort }) => `${id} (port ${specPort})`).join(", ")} yet` : undefined
}

/** Of a store that was lost an ack may be left that is ahead of everything: then revisions agree and digests do not, or the epoch is another line's. */
export const hasReached = (at: Applied["units"][string], target: Pick<Target, "rev" | "epoch" | "digest">): boolean =>
  at.rev === target.rev ? at.epoch === target.epoch && at.digest === target.digest : at.rev > target.rev && at.epoch >= target.epoch
