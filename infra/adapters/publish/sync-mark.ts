/** What an adapter says once everything of a kind has been published into an incarnation of RESOURCES. */
import { canonical } from "../../../bus/canonical.ts"
import { resourceApis } from "../../../bus/kinds/all.ts"
import { headgate } from "../../../bus/kinds/installation.ts"
import { clock, sync } from "../../../bus/kinds/ours.ts"
import { resourceSubject } from "../../../bus/subject.ts"
import type { Desired } from "./desired.ts"

/** Kinds that functions wait for, by name: what is watched, and what adapters say themselves. */
export const syncedKinds: readonly string[] = [...resourceApis.map(({ kind }) => kind), clock, headgate.installation].map(({ name }) => name)

export const SYNC_MARKS = `resource.${sync.name}.`

/** Subject and value. */
export const syncMark = (kind: string, incarnation: string): readonly [string, Desired] =>
  [resourceSubject(sync.name, `/${kind}`), { kind: sync.name, key: `/${kind}`, body: canonical({ incarnation, complete: true }), version: "", source: "" }]
