import { once } from "node:events"
import { createServer as createHttpServer } from "node:http"
import { createServer as createTcpServer, type Server } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import { describe, expect, test } from "vitest"
import type { AppliedListener } from "../../bus/kinds/applied.ts"
import { memoryStore } from "../../bus/memory.ts"
import { appliedSubject } from "../../bus/subject.ts"
import { Authority } from "../../test/fixtures/authority.ts"
import { answers, followApplied } from "./readiness.ts"

test("what a pod says of itself is followed, and what no pod would say passed over", async () => {
  const bus = memoryStore().bus()
  const subject = appliedSubject("default", "up")
  const pods: string[] = []
  const stop = followApplied(bus, subject, ({ pod }) => pods.push(pod))
  for (const data of ["{", "1", "{}", JSON.stringify({ schema: 1, plane: "default", pod: "up", ready: true, listeners: [], units: {}, notes: [] })]) await bus.publish({ subject, data })
  await stop()
  expect(pods).toEqual(["up"])
})

describe("a listener answers", () => {
  const asked = async (server: Server, more: Partial<AppliedListener> = {}): Promise<boolean> => {
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    const { port } = address
    try {
      return await answers({ id: "d/gw/l", protocol: "HTTP", address: "0.0.0.0", port, specPort: port, ...more })
    } finally {
      server.close()
    }
  }
  const hangsUp = (): Server => createTcpServer((socket) => socket.destroy())

  test("over HTTP with any status", async () => {
    expect(await asked(createHttpServer((_request, response) => response.writeHead(404).end()))).toBe(true)
    expect(await asked(hangsUp())).toBe(false)
  })

  test("over TLS with any certificate, or an alert where it has none", async () => {
    const authority = new Authority()
    const { chain, key } = authority.issue(["shop.example"])
    const pem = `-----BEGIN PRIVATE KEY-----\n${key.toString("base64")}\n-----END PRIVATE KEY-----\n`
    const names: (string | false | null)[] = []
    for (const hostname of [undefined, "shop.example", "*.example"]) {
      const server = createTlsServer({ cert: chain, key: pem }, (socket) => names.push(socket.servername))
      const isSecure = once(server, "secureConnection")
      expect(await asked(server, { protocol: "HTTPS", ...(hostname === undefined ? {} : { hostname }) })).toBe(true)
      await isSecure
    }
    expect(names).toEqual([false, "shop.example", "www.example"])
    expect(await asked(createTlsServer(), { protocol: "HTTPS" })).toBe(true)
    expect(await asked(hangsUp(), { protocol: "HTTPS" })).toBe(false)
    authority.end()
  })

  test("not where nobody listens", async () => {
    for (const protocol of ["HTTP", "HTTPS"]) expect(await answers({ id: "d/gw/l", protocol, address: "127.0.0.1", port: 1, specPort: 1 })).toBe(false)
  })
})
