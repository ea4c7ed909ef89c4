import { expect, test } from "vitest"
import { CONTROL_PLANE, kinds } from "../../bus/kinds/config.ts"
import { core } from "../../bus/kinds/core.ts"
import { reconcile } from "../reconcile.ts"
import { createEngine } from "./engine.ts"

const planes = reconcile({
  name: "planes",
  version: "1",
  reads: [core.namespace],
  writes: [kinds.plan],
  derive: ({ from, into }) => {
    const namespaces = from(core.namespace)
    const byName = namespaces.index(({ metadata }) => [metadata.name])
    const names = namespaces.map(({ metadata }) => metadata.name).named("names")
    const lengths = names.group((name) => [`${name.length}`], (members) => members.length)
    into(kinds.plan, namespaces.filter(() => false).map(() => "never").union(names).flatMap((name, read) => [[`${name}/plan`, { schema: 1, functions: [`${read(byName, name).length} ${read(lengths, `${name.length}`)}`] }]]))
  },
})

test("what ran is told by the kind it comes from and the kind it becomes, the name it was given, or else its place", () => {
  const engine = createEngine({ functions: [planes], notes: { kind: kinds.note, plane: CONTROL_PLANE } })
  engine.stage(core.namespace, "/shop", { metadata: { namespace: "", name: "shop" } }, 1)
  const ran: string[] = []
  engine.pass((fn, collection, _from, _to, runs) => ran.push(`${fn}: ${collection} (${runs})`))
  expect(ran).toEqual(["planes: namespace, indexed (1)", "planes: names (1)", "planes: names, indexed (1)", "planes: namespace > 5 (1)", "planes: namespace > 6 (1)", "planes: namespace > plan (1)"])
})
