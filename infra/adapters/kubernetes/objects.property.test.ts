/** What is relevant, kept up to date event by event, against the same worked out from what there is in the end. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { resourceApis } from "../../../bus/kinds/all.ts"
import { parseSubject } from "../../../bus/subject.ts"
import { Objects } from "./objects.ts"
import { type Json, rawObject } from "./raw.ts"

const NAMES = ["a", "b"]
const name = fc.constantFrom(...NAMES)
const names = fc.array(name, { maxLength: 2 })
const labels = fc.constantFrom<Json>({}, { "app.kubernetes.io/managed-by": "headgate", "headgate.dev/plane": "p" })

const route = fc.record({ parents: names, services: names, mirrored: fc.option(name, { nil: undefined }), bears: fc.boolean() }).map(({ parents, services, mirrored, bears }) => ({
  spec: { parentRefs: [...new Set(parents)].map((one) => ({ name: one })), rules: [{ backendRefs: services.map((one) => ({ name: one, port: 80 })), ...(mirrored === undefined ? {} : { filters: [{ type: "RequestMirror", requestMirror: { backendRef: { name: mirrored, port: 80 } } }] }) }] },
  ...(bears ? { status: { parents: [{ controllerName: "ours/x" }] } } : {}),
}))

/** kind → everything an object of it may be, but its name. */
const shapes = {
  gatewayclass: fc.constantFrom("ours/x", "others/x").map((controllerName) => ({ spec: { controllerName } })),
  gateway: fc.record({ className: name, secrets: names }).map(({ className, secrets }) => ({ spec: { gatewayClassName: className, listeners: [{ name: "l", port: 443, protocol: "HTTPS", tls: { certificateRefs: secrets.length === 0 ? [{ name: "other", kind: "Other" }] : [...new Set(secrets)].map((one) => ({ name: one })) } }] } })),
  httproute: route,
  grpcroute: route,
  service: labels.map((given) => ({ metadata: { labels: given }, spec: { ports: [{ port: 80 }] } })),
  endpointslice: name.map((service) => ({ metadata: { labels: { "kubernetes.io/service-name": service } }, addressType: "IPv4", endpoints: [] })),
  secret: fc.constant({}),
  namespace: labels.map((given) => ({ metadata: { labels: given } })),
} as const
const kinds = ["gatewayclass", "gateway", "httproute", "grpcroute", "service", "endpointslice", "secret", "namespace"] as const
const hasNoNamespace = new Set<string>(["gatewayclass", "namespace"])
const hasGeneration = new Set<string>(["gatewayclass", "gateway", "httproute", "grpcroute", "endpointslice"])

type Event = { readonly is: "put"; readonly kind: string; readonly name: string; readonly again: boolean; readonly shape: Json } | { readonly is: "gone"; readonly kind: string; readonly name: string } | { readonly is: "settle" } | { readonly is: "want"; readonly secrets: readonly string[] }

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...kinds).chain((kind) => fc.record({ is: fc.constant("put" as const), kind: fc.constant(kind), name, again: fc.boolean(), shape: shapes[kind] })) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant("gone" as const), kind: fc.constantFrom(...kinds), name }) },
  { weight: 2, arbitrary: fc.constant({ is: "settle" } as const) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant("want" as const), secrets: names }) },
)

const objects = (wanted: () => ReadonlySet<string>): Objects =>
  new Objects(resourceApis, { controllerName: "ours/x", secretBody: (_key, body) => body, isWanted: (key) => wanted().has(key), isLookedFor: () => false, problems: (_of, _key, result) => expect(result?.ok ?? true).toBe(true) })

const says = (of: Objects) => [...of.desired].map(([subject, { body, uid, generation, key }]) => [subject, key, uid, generation, body]).sort()

test("event by event gives what the end alone gives, in whatever order that is read; and what is named comes before what names it", () => {
  fc.assert(fc.property(fc.array(event, { maxLength: 60 }), fc.integer(), (events, seed) => {
    let wanted = new Set<string>()
    const followed = objects(() => wanted)
    const there = new Map<string, Json>()
    const counted = new Map<string, { uid: number; generation: number }>()
    const onBus = new Set<string>()
    let version = 0
    const settle = (): void => {
      for (const subject of followed.settle()) {
        if (!followed.desired.has(subject)) onBus.delete(subject)
        else {
          onBus.add(subject)
          const parsed = parseSubject(subject)
          if (parsed?.is !== "resource" || (parsed.kind !== "httproute" && parsed.kind !== "grpcroute")) continue
          // Whatever of the Services it names is there at all is published by now.
          const { spec }: { spec: { rules: { backendRefs: { name: string }[] }[] } } = JSON.parse(followed.desired.get(subject)?.body ?? "")
          for (const ref of spec.rules.flatMap((rule) => rule.backendRefs)) if (there.has(`service/ns/${ref.name}`)) expect(onBus).toContain(`resource.service.ns.${ref.name}`)
        }
      }
    }
    for (const one of events) {
      if (one.is === "settle") settle()
      else if (one.is === "want") {
        const before = wanted
        wanted = new Set(one.secrets.map((secret) => `ns/${secret}`))
        followed.touch("secret", [...before, ...wanted])
      } else {
        const key = `${hasNoNamespace.has(one.kind) ? "" : "ns"}/${one.name}`
        const id = `${one.kind}/${key}`
        const known = there.get(id)
        if (one.is === "gone") {
          there.delete(id)
          followed.gone(one.kind, key)
          continue
        }
        const count = counted.get(id) ?? { uid: 0, generation: 0 }
        // The same content may come again, as another version or as another object.
        const shape = one.again && known !== undefined ? known : one.shape
        if (known === undefined) count.uid++
        count.generation = known === undefined ? 1 : count.generation + 1
        counted.set(id, count)
        const given = shape["metadata"]
        const object = { ...shape, metadata: { ...(typeof given === "object" ? given : {}), name: one.name, ...(hasNoNamespace.has(one.kind) ? {} : { namespace: "ns" }), uid: `u${count.uid}`, resourceVersion: String(++version), ...(hasGeneration.has(one.kind) ? { generation: count.generation } : {}) } }
        there.set(id, object)
        const raw = rawObject(object)
        if (raw !== undefined) followed.put(one.kind, raw)
      }
    }
    settle()
    const fresh = objects(() => wanted)
    const order = [...there].sort(([a], [b]) => ((a.length * 31 + seed) % 7) - ((b.length * 31 + seed) % 7) || (seed % 2 === 0 ? (a < b ? -1 : 1) : a < b ? 1 : -1))
    for (const [id, object] of order) {
      const raw = rawObject(object)
      if (raw !== undefined) fresh.put(id.slice(0, id.indexOf("/")), raw)
    }
    fresh.settle()
    expect(says(followed)).toEqual(says(fresh))
    expect([...onBus].sort()).toEqual([...followed.desired.keys()].sort())
    for (const kind of kinds) expect([...followed.views(kind)].map(([key, { uid, status }]) => [key, uid, status]).sort()).toEqual([...fresh.views(kind)].map(([key, { uid, status }]) => [key, uid, status]).sort())
  }), { numRuns: 1_000 })
})
