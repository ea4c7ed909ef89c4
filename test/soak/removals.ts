/**
 * Endpoints are removed under mixed traffic, many at once, and each backend goes 5 s after its removal, as a pod does
 * that is given that long: whoever was with it has ended or gone elsewhere by then. Each endpoint is a listening socket
 * on an address of its own in 127.0.0.0/8.
 */
import { setTimeout as later } from "node:timers/promises"
import { freePorts } from "../fixtures/ports.ts"
import type { EchoServer } from "../proxy/websocket-server.ts"
import { drop, service, yaml, type Manifest } from "../system/manifests.ts"
import { until } from "../system/until.ts"
import { startSoakBackend } from "./backend.ts"
import { startMix } from "./mix.ts"
import { startScene } from "./scene.ts"
import type { SoakOptions } from "./soak.ts"

/** Endpoints that come and go together. */
const BATCH = 500
/** EndpointSlices have so many at most in Kubernetes. */
const SLICE = 100
const GRACE_MS = 5000
/** WebSockets of a backend that goes are told so, and end. */
const LAST_MS = 1000

const addressOf = (batch: number, index: number): string => `127.${10 + (batch % 200)}.${Math.floor(index / 250)}.${1 + (index % 250)}`

const manifests = (batch: number, port: number): readonly Manifest[] => {
  const [first, ...slices] = service("a", 80, Array.from({ length: BATCH / SLICE }, () => ({ port })))
  if (first === undefined) throw new Error("a Service has one manifest at least")
  return [first, ...slices.map((slice, nth) => ({
    ...slice,
    endpoints: Array.from({ length: SLICE }, (_, index) => ({ addresses: [addressOf(batch, nth * SLICE + index)], conditions: { ready: true } })),
  }))]
}

const startBatch = (batch: number, port: number): Promise<readonly EchoServer[]> =>
  Promise.all(Array.from({ length: BATCH }, (_, index) => startSoakBackend({ host: addressOf(batch, index), port })))

/** After GRACE_MS. */
const leave = async (backends: readonly EchoServer[]): Promise<void> => {
  await later(GRACE_MS)
  for (const backend of backends) backend.goAway()
  await later(LAST_MS)
  await Promise.all(backends.map((backend) => backend.stop()))
}

/** Resolves with failures. `count` is rounded up to whole batches. */
export const removals = async (count: number, { seed, pace, say }: Omit<SoakOptions, "seconds">): Promise<readonly string[]> => {
  const [port = 0] = await freePorts(1)
  let backends = await startBatch(0, port)
  const leaving: Promise<void>[] = []
  const scene = await startScene(manifests(0, port)).catch(async (error: unknown) => {
    await Promise.all(backends.map((backend) => backend.stop()))
    throw error
  })
  try {
    const mix = startMix(scene.target, { seed, pace })
    await until("every kind of traffic flows", () => mix.hasMoved())
    for (let batch = 1; (batch - 1) * BATCH < count; batch++) {
      const next = await startBatch(batch, port)
      drop(scene.world.manifests, "service.yaml", yaml(...manifests(batch, port)))
      leaving.push(leave(backends))
      backends = next
      await until(`traffic flows, and the gateway has the endpoints of batch ${batch} alone`, async () => mix.hasMoved() && (await scene.metric("headgate_upstream_endpoints")) === BATCH, 20_000)
      say(`${batch * BATCH} endpoints removed, ${mix.failed} failed`)
    }
    await Promise.all(leaving)
    await until("every kind of traffic flows on", () => mix.hasMoved())
    await mix.stop()
    for (const { text } of mix.tallies) say(text)
    return mix.failures
  } finally {
    await scene.end()
    await Promise.all([...leaving, ...backends.map((backend) => backend.stop())])
  }
}
