import { expect, test } from "vitest"
import { ClientConnections, clientOf } from "./client-connections.ts"

const limits = { maxConnections: 4, connectionsPerClient: 2, trustedHops: 0 }

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8:1:2::6", "2001:db8:1:2"],
  ["2001:db8::", "2001:db8:0:0"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["2001:db8::5:6:7:8:9", "2001:db8:0:5"],
  ["::1", "0:0:0:0"],
  ["::", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
  ["64:ff9b::192.0.2.1", "64:ff9b:0:0"],
  ["unknown", "unknown"],
])("%s counts for %s", (address, client) => expect(clientOf(address)).toBe(client))

test("one client has as many as it may, others still have theirs, all together no more than there may be", () => {
  const connections = new ClientConnections(limits)
  const enter = (address: string) => connections.enter(connections.clientOf(address))
  expect([enter("a"), enter("a"), enter("a")]).toEqual([null, null, "connections-of-client"])
  expect([enter("2001:db8::1"), enter("2001:db8::2"), enter("b")]).toEqual([null, null, "connections"])
  connections.leave("a")
  expect([enter("2001:db8::3"), enter("b"), enter("a")]).toEqual(["connections-of-client", null, "connections"])
})

test("only clients with connections are remembered", () => {
  const connections = new ClientConnections({ ...limits, maxConnections: 1_000 })
  for (let i = 0; i < 1_000; i++) connections.enter(`192.0.2.${i}`)
  for (let i = 0; i < 1_000; i++) connections.leave(`192.0.2.${i}`)
  expect([connections.clients, connections.open]).toEqual([0, 0])
})

test("behind trusted proxies, and without a limit, nobody is counted for himself", () => {
  for (const settings of [{ ...limits, trustedHops: 1 }, { ...limits, connectionsPerClient: 0 }]) {
    const connections = new ClientConnections(settings)
    const client = connections.clientOf("192.0.2.1")
    expect([client, connections.enter(client), connections.enter(client), connections.enter(client), connections.clients]).toEqual(["", null, null, null, 0])
  }
})
