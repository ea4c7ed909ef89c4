import { mkdtemp, rm } from "node:fs/promises"
import type http from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { connectBus } from "../../bus/jetstream.ts"
import { findNatsServer, startNatsServer } from "../../bus/server.ts"
import { until } from "../../test/system/until.ts"
import { listenProbes } from "./probes.ts"

const portOf = (server: http.Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

test("a part is healthy from its start, ready while it is on the bus, and not while the bus is away", async () => {
  const folder = await mkdtemp(join(tmpdir(), "headgate-probes-"))
  const server = await listenProbes("127.0.0.1:0")
  const status = async (path: string): Promise<number> => (await fetch(`http://127.0.0.1:${portOf(server)}${path}`)).status
  expect([await status("/healthz"), await status("/readyz"), await status("/")]).toEqual([200, 503, 404])
  const options = { binary: await findNatsServer(), storeDir: join(folder, "store") }
  const nats = await startNatsServer(options)
  const bus = await connectBus({ url: nats.url, name: "part", access: { url: nats.url } })
  expect(await status("/readyz")).toBe(200)
  await nats.stop()
  await until("not ready without the bus", async () => (await status("/readyz")) === 503)
  const again = await startNatsServer({ ...options, port: nats.port })
  await until("ready again", async () => (await status("/readyz")) === 200)
  await bus.close()
  expect(await status("/readyz")).toBe(503)
  server.close()
  server.closeAllConnections()
  await again.stop()
  await rm(folder, { recursive: true, force: true })
})
