import fc from "fast-check"
import { expect, test } from "vitest"
import { kinds } from "../../bus/kinds/config.ts"
import { GATEWAY, engineOf, feed, notesOf, readManifests } from "../../test/fixtures/derive.ts"
import { routes } from "../routes/routes.ts"

interface Asked {
  readonly kind: string
  readonly day: number
  readonly hostnames: readonly string[]
}
const asked: fc.Arbitrary<Asked> = fc.record({ kind: fc.constantFrom("HTTPRoute", "GRPCRoute"), day: fc.integer({ min: 1, max: 3 }), hostnames: fc.subarray(["a.test", "b.test", "c.test", "*.test"], { minLength: 1 }) })

const manifest = ({ kind, day, hostnames }: Asked, i: number): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: ${kind}
metadata: {name: r${i}, namespace: a, creationTimestamp: "2026-01-0${day}T00:00:00Z"}
spec: {parentRefs: [{name: g}], hostnames: ${JSON.stringify(hostnames)}, rules: [{backendRefs: [{name: s, port: 80}]}]}
---
`

test("of every two routes of different kinds with a hostname in common exactly one attaches: the older, then the first by name", () => {
  fc.assert(
    fc.property(fc.array(asked, { minLength: 1, maxLength: 8 }), (all) => {
      const engine = engineOf([routes])
      feed(engine, readManifests(GATEWAY + all.map(manifest).join("")).inputs)
      const attached = new Set(engine.rows("routes", kinds.route).map(([, { source }]) => source.name))
      const ranked = all.map((one, i) => ({ ...one, name: `r${i}` })).sort((a, b) => a.day - b.day || (a.name < b.name ? -1 : 1))
      for (const [place, one] of ranked.entries()) {
        // It gives way to one that was there before it and is attached, and to nobody else.
        const before = ranked.slice(0, place).filter(({ kind, name, hostnames }) => kind !== one.kind && attached.has(name) && hostnames.some((each) => one.hostnames.includes(each)))
        expect(attached.has(one.name), one.name).toBe(before.length === 0)
      }
      const said = notesOf(engine).filter(({ reason }) => reason === "HostnameConflict").map(({ about }) => about?.name)
      expect(said.sort()).toEqual(ranked.flatMap(({ name }) => (attached.has(name) ? [] : [name])).sort())
    }),
    { numRuns: 300 },
  )
})
