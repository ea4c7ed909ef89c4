/** Why things are: which inputs made a member, and which changed inputs made it change. */

import type { Kind } from "../../bus/kinds/kind.ts"

/** More than this says nothing to a person; "…" stands for the rest. */
const LIMIT = 64
const REST = "…"

/**
 * The changed inputs a change answers, each `<kind>/<key>@<sequence>`, in the order they came. Undefined in the first
 * pass: there everything is new.
 */
export type Triggers = readonly string[] | undefined

export const mergeTriggers = (a: Triggers, b: Triggers): Triggers => {
  if (a === undefined || b === a) return b
  if (b === undefined || a.at(-1) === REST) return a
  const merged = new Set(a)
  for (const ref of b) merged.add(ref)
  if (merged.size === a.length) return a
  const list = [...merged]
  return list.length > LIMIT ? [...list.slice(0, LIMIT), REST] : list
}

/** Of another function's row that was read: whether not to ask what made it. */
export type EndsAt = (kind: Kind<unknown>, key: string, value: unknown) => boolean

/** Collects the input members something was made from, following reads back to the inputs. */
export class Trail {
  readonly #refs = new Set<string>()
  readonly #seen = new Set<object>()
  readonly #endsAt: EndsAt | undefined

  constructor(endsAt?: EndsAt) {
    this.#endsAt = endsAt
  }

  /** Whether what made another function's row is of no interest. */
  endsAt(kind: Kind<unknown>, key: string, value: unknown): boolean {
    return this.#endsAt?.(kind, key, value) === true
  }

  /** False when `origin` was followed before or enough is known. */
  enter(origin: object): boolean {
    if (this.#refs.size > LIMIT || this.#seen.has(origin)) return false
    this.#seen.add(origin)
    return true
  }

  get full(): boolean {
    return this.#refs.size > LIMIT
  }

  add(kind: string, key: string, seq: number): void {
    this.#refs.add(`${kind}/${key}@${seq}`)
  }

  /** The first is what the member was mapped from, then what was read, in the order it was read. */
  causes(): readonly string[] {
    const list = [...this.#refs]
    return list.length > LIMIT ? [...list.slice(0, LIMIT), REST] : list
  }
}
