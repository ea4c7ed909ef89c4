/**
 * Acks → what is known of each listener. Far less than an ack says: most acks tell only that a commit was swapped in, and
 * those must reach no status.
 */
import type { Applied } from "../../bus/kinds/applied.ts"
import { planeOfKey } from "../gateway-api/names.ts"
import type { Collection, Member } from "../reconcile.ts"

/** One listener as ready pods serve it; pods that serve it alike count once. */
export interface Served {
  /** Of the Gateway, when the listener's entry was made. */
  readonly generation: number
  /** One for each address it is served at, or should be. */
  readonly places: readonly Place[]
}

export interface Place {
  readonly address: string
  /** 0: not bound; without `error` it is about to be. */
  readonly port: number
  readonly error?: string
  readonly reason?: "AddressNotUsable"
}

export interface Acked {
  /** Planes that have a ready pod. */
  readonly planes: Collection<true>
  /** By `<plane>/<listener id>`. */
  readonly listeners: Collection<readonly Served[]>
}

export const ackedBy = (acks: Collection<Applied>): Acked => {
  const ready = acks.map((ack) => (ack.ready ? (true as const) : undefined)).named("ready pods")
  const byPod = acks.flatMap(({ ready: isReady, plane, listeners }, _read, pod): readonly Member<Served & { readonly of: string }>[] =>
    isReady
      ? [...Map.groupBy(listeners, ({ id }) => id)].map(([id, own]) => [
          JSON.stringify([plane, id, pod]),
          {
            of: `${plane}/${id}`,
            generation: own[0]?.generation ?? 0,
            places: own.map(({ address, port, error, reason }) => ({ address, port, ...(error === undefined ? {} : { error }), ...(reason === undefined ? {} : { reason }) })),
          },
        ])
      : [],
  ).named("listeners of pods")
  return {
    planes: ready.group((_ready, pod) => [planeOfKey(pod)], () => true as const).named("planes with pods"),
    listeners: byPod.group(({ of }) => [of], alike).named("listeners served"),
  }
}

/** Each way it is served once, in an order that does not depend on the names of pods. */
const alike = (members: readonly Member<Served>[]): readonly Served[] => {
  const ways = new Map(members.map(([, { generation, places }]) => [JSON.stringify([generation, places]), { generation, places }]))
  return [...ways].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, served]) => served)
}

/** What one generation of a listener has become. */
export interface Programmed {
  /** Addresses where some pod serves it. */
  readonly bound: readonly string[]
  /** What failed at addresses where no pod serves it. */
  readonly failed: readonly Place[]
}

/** Undefined: no ready pod has acked this generation, or those that have are about to bind its port. */
export const programmedBy = (served: readonly Served[] | undefined, generation: number): Programmed | undefined => {
  const places = (served ?? []).filter((each) => each.generation === generation).flatMap((each) => each.places)
  const bound = new Set(places.filter(({ port }) => port !== 0).map(({ address }) => address))
  const failed = new Map(places.filter(({ address, error }) => error !== undefined && !bound.has(address)).map((place) => [place.address, place]))
  return bound.size === 0 && failed.size === 0 ? undefined : { bound: [...bound].sort(), failed: [...failed.values()] }
}
