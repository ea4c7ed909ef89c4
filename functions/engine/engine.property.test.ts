import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { canonical } from "../../bus/canonical.ts"
import { CONTROL_PLANE, kinds } from "../../bus/kinds/config.ts"
import type { Kind } from "../../bus/kinds/kind.ts"
import { runs } from "../../test/fixtures/runs.ts"
import { createEngine, type Engine } from "./engine.ts"
import { adds, alsoAdds, asks, extra, item, type Item, makes, part } from "./testdata/functions.ts"
import { type Input, Oracle } from "./testdata/oracle.ts"

const functions = [adds, alsoAdds, asks, makes]
const engine = () => createEngine({ functions, notes: { kind: kinds.note, plane: CONTROL_PLANE } })

const letter = fc.constantFrom("a", "b", "c", "d")
const rarely = fc.integer({ min: 0, max: 9 }).map((n) => n === 0)
const never = fc.constant(false)
/** With history: what throws depends on other members too, so the last good output can outlive them. */
const value = (strict: fc.Arbitrary<boolean>): fc.Arbitrary<Item> =>
  fc.record({ group: letter, weight: fc.integer({ min: 0, max: 4 }), needs: fc.array(letter, { maxLength: 2 }), makes: fc.array(letter, { maxLength: 3 }), strict, throws: rarely })

interface Edit {
  readonly kind: Kind<unknown>
  readonly key: string
  readonly value: unknown
}
const key = letter.map((name) => `n/${name}`)
const put = (strict: fc.Arbitrary<boolean>): fc.Arbitrary<Edit> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom<Kind<unknown>>(item, part), key, value: value(strict) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant(extra), key: letter.map((name) => `p/outside/${name}`), value: fc.record({ text: letter }) }) },
  )
const edit = fc.oneof({ weight: 3, arbitrary: put(rarely) }, { weight: 1, arbitrary: put(rarely).map((each) => ({ ...each, value: undefined })) })

/** Every row of every function but notes. */
const rowsOf = (subject: Engine): ReadonlyMap<string, unknown> =>
  new Map(subject.functions.flatMap((fn) => fn.writes.flatMap((kind) => subject.rows(fn.name, kind).map(([each, row]) => [`${fn.name} ${kind.name} ${each}`, row] as const))))
const notesOf = (subject: Engine) => subject.functions.flatMap((fn) => subject.rows(fn.name, kinds.note).map(([, note]) => note))
const texts = (values: Iterable<unknown>) => [...new Set([...values].map(canonical))].sort()
const bytes = (subject: Engine): string => canonical([[...rowsOf(subject)], subject.functions.map((fn) => subject.rows(fn.name, kinds.note))])

test("what is derived later cannot be read by what is not", () => {
  const wrong = () => createEngine({ functions: [{ ...asks, later: true }, makes], notes: { kind: kinds.note, plane: CONTROL_PLANE } })
  expect(wrong).toThrow('makes reads "want" of asks, which is derived later')
})

describe("a graph with every operator, nested reads, throws and contested keys", () => {
  const batches = 50
  let edits = 0
  test(`equals a run from scratch after each of ${runs(30) * batches} random edits or more, in rows, notes, causes and reported changes`, () => {
    fc.assert(
      fc.property(fc.array(fc.array(edit, { minLength: 1, maxLength: 3 }), { minLength: batches, maxLength: batches, size: "max" }), (all) => {
        const subject = engine()
        const oracle = new Oracle(functions)
        const inputs = new Map<string, Input>()
        const published = new Map<string, string>()
        let seq = 0
        for (const batch of all) {
          const refs = new Set<string>()
          for (const each of batch) {
            seq++
            edits++
            refs.add(`${each.kind.name}/${each.key}@${seq}`)
            subject.stage(each.kind, each.key, each.value, seq)
            if (each.value === undefined) inputs.delete(`${each.kind.name} ${each.key}`)
            else inputs.set(`${each.kind.name} ${each.key}`, { ...each, seq })
          }
          const isFirst = seq === batch.length
          for (const change of subject.pass()) {
            const id = `${change.fn} ${change.kind.name} ${change.key}`
            if (change.value === undefined) expect(published.delete(id), `${id} was there to be removed`).toBe(true)
            else {
              expect(published.get(id), `${id} is not published unchanged`).not.toBe(canonical(change.value))
              published.set(id, canonical(change.value))
            }
            if (isFirst) continue
            expect(change.triggers?.length).toBeGreaterThan(0)
            for (const trigger of change.triggers ?? []) expect(refs).toContain(trigger)
          }
          oracle.compute([...inputs.values()])

          const want = oracle.rows()
          const have = rowsOf(subject)
          expect(canonical([...have].sort())).toBe(canonical([...want].map(([id, row]) => [id, row.value]).sort()))
          for (const [id, row] of have) expect(published.get(id)).toBe(canonical(row))
          const said = notesOf(subject)
          expect(texts(said.filter((note) => note.reason !== "Parked" && note.reason !== "BadKey"))).toEqual(texts(oracle.notes))
          expect(said.some((note) => note.reason === "Parked")).toBe(oracle.parked > 0)
          if (oracle.parked > 0) continue
          for (const fn of subject.functions) {
            for (const kind of fn.writes) {
              for (const [each] of subject.rows(fn.name, kind)) expect(subject.causes(fn.name, kind, each)).toEqual([...new Set(want.get(`${fn.name} ${kind.name} ${each}`)?.causes)])
            }
          }
        }
      }),
      { numRuns: runs(30) },
    )
    expect(edits).toBeGreaterThanOrEqual(runs(30) * batches)
  }, 120_000 * runs(1))

  test("any order, batching and duplication of the same inputs gives the same bytes, whatever is derived later", () => {
    const state = fc.uniqueArray(put(never), { selector: (each) => `${each.kind.name} ${each.key}`, minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(
        state.chain((inputs) => fc.tuple(fc.constant(inputs), fc.shuffledSubarray([...inputs, ...inputs], { minLength: inputs.length }), fc.array(fc.constantFrom("none", "both", "urgent", "later"), { minLength: 24, maxLength: 24 }), fc.constantFrom([makes], [asks, makes], functions))),
        ([inputs, shuffled, pauses, late]) => {
          const one = engine()
          for (const [seq, each] of inputs.entries()) one.stage(each.kind, each.key, each.value, seq + 1)
          one.pass()
          const other = createEngine({ functions: functions.map((fn) => (late.includes(fn) ? { ...fn, later: true } : fn)), notes: { kind: kinds.note, plane: CONTROL_PLANE } })
          for (const [i, each] of [...shuffled, ...inputs.filter((each) => !shuffled.includes(each))].entries()) {
            other.stage(each.kind, each.key, each.value, inputs.indexOf(each) + 1)
            const pause = pauses[i]
            if (pause === "both") other.pass()
            else if (pause === "urgent" || pause === "later") other.pass(undefined, pause)
          }
          const urgent = other.pass(undefined, "urgent")
          expect(other.isStale).toBe(false)
          expect(urgent.filter(({ fn, kind }) => late.some(({ name }) => name === fn) && kind !== kinds.note)).toEqual([])
          other.pass(undefined, "later")
          expect(bytes(other)).toBe(bytes(one))
        },
      ),
      { numRuns: runs(250) },
    )
  })
})
