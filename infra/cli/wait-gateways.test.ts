import { expect, test } from "vitest"
import type { Applied } from "../../bus/kinds/applied.ts"
import { AWAY_AFTER } from "../../bus/presence.ts"
import { type Ack, standing, type Wanted } from "./wait-gateways.ts"

const target = (fn: string, rev: number, more: Partial<Wanted> = {}): Wanted => ({ plane: "p", fn, rev, epoch: 1, digest: `${fn}${rev}`, hasListeners: true, ...more })
const ack = (pod: string, units: Readonly<Record<string, number>>, more: Partial<Applied> = {}, time = 1_000_000): Ack => ({
  time,
  applied: {
    schema: 1, pod, plane: "p", ready: true, admin: "", listeners: [], notes: [],
    units: Object.fromEntries(Object.entries(units).map(([fn, rev]) => [fn, { rev, epoch: 1, seq: rev, digest: `${fn}${rev}` }])), ...more,
  },
})
const now = 1_000_000

test("who lacks which commit is named; all that is needed may be newer", () => {
  const { serving, lacking } = standing([target("routes", 5), target("endpoints", 2)], [ack("a", { routes: 6, endpoints: 2 }), ack("b", { routes: 4 })], now)
  expect(serving).toEqual([{ pod: "p/a", since: now }])
  expect(lacking).toEqual(["gateway p/b serves routes at revision 4, not yet 5, nothing of endpoints, not yet 2 (last heard of at 00:16:40.000)"])
})

test("of a store that was lost nothing counts: a higher revision of a lower epoch, the same revision with another digest", () => {
  expect(standing([target("routes", 5, { epoch: 2 })], [ack("a", { routes: 9 })], now).lacking).toEqual([expect.stringMatching(/revision 9 of epoch 1, not yet 5 of epoch 2/)])
  expect(standing([target("routes", 5, { digest: "other" })], [ack("a", { routes: 5 })], now).lacking).toHaveLength(1)
})

test("a pod that has been silent for long is not waited for, and said; one that starts is not while others serve", () => {
  const old = ack("b", { routes: 4 }, {}, now - AWAY_AFTER - 1)
  const starting = ack("c", { routes: 1 }, { ready: false, waiting: "The configuration is being read." })
  const both = standing([target("routes", 5)], [ack("a", { routes: 5 }), old, starting], now)
  expect(both.lacking).toEqual([])
  expect(both.away).toEqual([expect.stringMatching(/gateway p\/b has said nothing since .* and is not waited for/)])
  expect(standing([target("routes", 5)], [starting], now).lacking).toEqual(["no gateway of data plane p is ready; c: The configuration is being read."])
  expect(standing([target("routes", 5)], [], now).lacking).toEqual(["no gateway of data plane p is ready"])
  expect(standing([target("routes", 5, { hasListeners: false })], [], now).lacking).toEqual([])
})

test("a listener that is about to be bound is not served yet; one that cannot be is nobody's to wait for", () => {
  const listener = { id: "d/gw/http", protocol: "HTTP", address: "", port: 0, specPort: 80 }
  expect(standing([target("routes", 5)], [ack("a", { routes: 5 }, { listeners: [listener] })], now).lacking).toEqual([expect.stringMatching(/has not bound d\/gw\/http \(port 80\) yet/)])
  expect(standing([target("routes", 5)], [ack("a", { routes: 5 }, { listeners: [{ ...listener, error: "taken" }] })], now).lacking).toEqual([])
})
