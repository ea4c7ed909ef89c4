/** A graph of four functions that uses every operator, for the property tests. Values are small on purpose. */
import { Schema } from "effect"
import { configKind, openKind, resourceKind } from "../../../bus/kinds/kind.ts"
import { type Member, reconcile } from "../../reconcile.ts"

/** `throws`: the derivation throws on it; `needs`: read by key, and thrown on when it is not there and `strict`. */
export const Item = Schema.Struct({
  group: Schema.String,
  weight: Schema.Number,
  needs: Schema.Array(Schema.String),
  makes: Schema.Array(Schema.String),
  strict: Schema.Boolean,
  throws: Schema.Boolean,
})
export type Item = typeof Item.Type
const Text = Schema.Struct({ text: Schema.String })
type Text = typeof Text.Type

export const item = resourceKind("item", Item)
export const part = resourceKind("part", Item)
export const want = configKind("want", Text)
export const made = configKind("made", Text)
export const total = configKind("total", Text)
export const extra = openKind("extra", Text)
export const seen = configKind("seen", Text)

const sum = (members: readonly Member<Item>[]): number => members.reduce((all, [, value]) => all + value.weight, 0)

/** map with nested reads (key, index, all), flatMap with duplicate and contested keys, filter, union, notes, throws. */
export const asks = reconcile({
  name: "asks",
  version: "1",
  reads: [item, part, extra],
  writes: [want, seen],
  derive: ({ from, into }) => {
    const parts = from(part)
    const heavy = parts.filter((value) => value.weight > 2)
    const byGroup = parts.index((value) => (value.throws ? fail("index") : [value.group, `w${value.weight}`, value.group]))
    const extras = from(extra)
    const weighed = from(item).map((value, read, key) => {
      if (value.weight === 0) return undefined
      const needed = value.needs.map((name) => read(parts, `n/${name}`)?.weight ?? (value.strict ? fail(`no ${name}`) : -1))
      if (needed.includes(-1)) read.note({ severity: "warning", reason: "Missing", message: `${key} needs what is not there`, about: { kind: "item", namespace: "n", name: value.group } })
      const first = value.needs[0]
      const nested = first === undefined ? [] : read(byGroup, read(parts, `n/${first}`)?.group ?? "none")
      return { ...value, weight: value.weight + sum(nested), text: `${needed.join()}|${nested.map(([name]) => name).join()}|${value.strict ? read.all(heavy).length : ""}` }
    })
    into(
      want,
      weighed.flatMap(function* (value, read, key): Generator<Member<Text>> {
        if (value.throws) fail("flatMap")
        for (const name of value.makes) yield [`p/${name}`, { text: `${key}:${value.text}:${read(extras, `p/adds/${name}`)?.text ?? ""}` }]
        yield [`p/${value.group}`, { text: `group ${value.group}` }]
        yield [`p/${value.group}`, { text: "said twice by one" }]
      }),
    )
    const seenItems = weighed.map((value, _read, key) => ({ text: `${key} ${value.weight}` })).flatMap((value, _read, key): Member<Text>[] => [[`p/${key}`, value]])
    into(seen, seenItems.union(heavy.flatMap((value, _read, key): Member<Text>[] => [[`p/${key}`, { text: `heavy ${value.group}` }]])))
  },
})

/** join, group, index over derived, a group that throws, an output under a bad key. */
export const makes = reconcile({
  name: "makes",
  version: "1",
  reads: [want, part],
  writes: [made, total],
  derive: ({ from, into }) => {
    const parts = from(part)
    const byLetter = parts.index((value) => value.makes)
    const wants = from(want)
    const keyed = wants.flatMap((value, _read, key) => [[`n/${key.slice(2)}`, { ...value, key }]])
    const joined = keyed.join(parts, (left, right, read, key) => ({ key: left.key, text: `${left.text}+${right?.group ?? "nothing"}+${read(byLetter, key.slice(2)).length}` }))
    into(made, joined.flatMap((value) => [[value.text.endsWith("+c+0") ? "bad" : value.key, { text: value.text }]]))
    into(
      total,
      parts
        .group(
          (value) => [value.group, ...value.makes],
          (members, read, group) => {
            if (sum(members) === 7 && members.some(([, value]) => value.strict)) fail(`seven in ${group}`)
            const wanted = read(wants, `p/${group}`)
            if (wanted === undefined) read.note({ severity: "info", reason: "Unwanted", message: `nobody wants ${group}` })
            return sum(members) % 5 === 0 ? undefined : { text: `${members.map(([key]) => key).join()} ${sum(members)} ${wanted?.text ?? ""}` }
          },
        )
        .flatMap((value, _read, key) => [[`p/${key}`, value]]),
    )
  },
})

const adder = (name: string) =>
  reconcile({
    name,
    version: "1",
    reads: [part],
    writes: [extra],
    derive: ({ from, into }) => into(extra, from(part).flatMap((value) => value.makes.map((each): Member<Text> => [`p/${name}/${each}`, { text: `${name} ${value.weight}` }]))),
  })
export const adds = adder("adds")
export const alsoAdds = adder("also-adds")

function fail(message: string): never {
  throw new Error(message)
}
