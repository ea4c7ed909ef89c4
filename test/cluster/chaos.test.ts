/**
 * Pods of every part are killed at random, under load and edits: HEADGATE_CHAOS_MINUTES of it (default 1). One in two is
 * asked to go, as an upgrade does; of the other the processes are killed where they stand. HEADGATE_CHAOS_SEED repeats one.
 */
import { existsSync } from "node:fs"
import { afterAll, beforeAll, expect, test } from "vitest"
import { resourcePath } from "../../infra/adapters/kubernetes/client.ts"
import { IMAGE } from "../../infra/images/image.ts"
import { until } from "../system/until.ts"
import { derivedAfresh, entriesOf, type Afresh } from "./derived-afresh.ts"
import { edge, httpRoute, statusOf, type Edge } from "./edge.ts"
import { deletePod, installation, PARTS, pidsOf, podsOf, signal, untilReady, type Installation, type Pod } from "./installation.ts"
import { openLoop, type Failure } from "./open-loop.ts"
import { record } from "./recorded.ts"

const NAME = "t-chaos"
const GATEWAYS = "gateway" as const
const minutes = Number(process.env["HEADGATE_CHAOS_MINUTES"] ?? 1)
const seed = Number(process.env["HEADGATE_CHAOS_SEED"] ?? 1 + (Date.now() % 100_000))
/** Between two kills, ms: a pod needs about 3 s to be there again. */
const PAUSE = 4_000
const REPLICAS = 2
/** The kubelet starts what was killed again and again later each time, up to this and a half, ms. */
const BACKOFF = 300_000
/** How long a busy client may not have heard that a connection was reset, ms. */
const UNHEARD = 100

let it: Installation
let shop: Edge

beforeAll(async () => {
  it = await installation(NAME)
  shop = await edge("t-chaos-shop", { gatewayClassName: NAME, replicas: REPLICAS })
  await until("both pods of the gateway are ready", async () => (await gateways()).filter(({ isReady }) => isReady).length === REPLICAS, 60_000)
}, 240_000)
afterAll(async () => {
  await shop.space.end()
  await it.end()
})

const gateways = (): Promise<readonly Pod[]> => podsOf(it.api, shop.space.name, "app.kubernetes.io/name=headgate-gateway")

/** Numbers from 0 to below 1 that a seed determines (a linear congruence). */
const chances = (from: number): (() => number) => {
  let state = from >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
const chance = chances(seed)
const oneOf = <T>(items: readonly T[]): T | undefined => items[Math.floor(chance() * items.length)]
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface Kill {
  readonly at: number
  /** Of who was not asked: its last process had ended. Until then its node takes connections for it. */
  readonly ended: number
  readonly pod: string
  readonly isGraceful: boolean
  readonly isGateway: boolean
  readonly inFlight: number
}

/** Routes that come, change and go; what stands at the end, by name: its hostname. */
const edits = async (over: () => boolean): Promise<ReadonlyMap<string, string>> => {
  const standing = new Map<string, string>()
  for (let n = 0; !over(); n++) {
    const name = `edited-${Math.floor(chance() * 30)}`
    if (chance() < 0.25 && standing.has(name)) {
      await it.api.request({ method: "DELETE", path: resourcePath({ group: "gateway.networking.k8s.io", version: "v1", plural: "httproutes", namespace: shop.space.name, name }) })
      standing.delete(name)
    } else {
      const hostname = `v${n}.${name}.example`
      await it.api.request({ method: "PATCH", path: resourcePath({ group: "gateway.networking.k8s.io", version: "v1", plural: "httproutes", namespace: shop.space.name, name }), query: { fieldManager: "chaos", force: true }, headers: { "content-type": "application/apply-patch+yaml" }, body: httpRoute(name, hostname) })
      standing.set(name, hostname)
    }
    await pause(300)
  }
  return standing
}

/** What was killed within some seconds of a moment. */
const around = (kills: readonly Kill[], moment: number): string => kills.filter(({ at }) => Math.abs(at - moment) < 12_000).map(({ pod, isGraceful, at }) => `${isGraceful ? "deleted" : "killed"} ${pod} ${Math.round(moment - at)} ms before`).join(", ")

const killAtRandom = async (ms: number, inFlight: () => number): Promise<readonly Kill[]> => {
  const kills: Kill[] = []
  const began = performance.now()
  while (performance.now() - began < ms) {
    const part = oneOf([...PARTS, GATEWAYS] as const)
    const ready = (part === GATEWAYS || part === undefined ? await gateways() : await it.pods(part)).filter(({ isReady }) => isReady)
    const pod = oneOf(ready)
    // Of a gateway one is left: where none is there nobody could answer.
    if (pod !== undefined && (part !== GATEWAYS || ready.length === REPLICAS)) {
      const isGraceful = chance() < 0.5
      const kill = { at: performance.now(), pod: pod.name, isGraceful, isGateway: part === GATEWAYS, inFlight: inFlight() }
      if (isGraceful) await deletePod(it.api, pod)
      else {
        const pids = pidsOf(pod)
        signal(pod, "SIGKILL")
        await until("its processes have ended", () => pids.every((pid) => !existsSync(`/proc/${pid}`)), 10_000)
      }
      kills.push({ ...kill, ended: performance.now() })
    }
    await pause(PAUSE * (0.5 + chance()))
  }
  return kills
}

test(`for ${minutes} min: of who goes in order no request fails, of who is killed those under way there; the configuration is that which the API server holds`, async () => {
  const namespace = shop.space.name
  const seen = await record({ group: "", plural: "services", namespace }, { group: "apps", plural: "deployments", namespace }, { group: "gateway.networking.k8s.io", plural: "gateways", namespace })
  const traffic = openLoop({ address: shop.address, host: "ready.example" })
  let afresh: Afresh | undefined
  try {
    let isOver = false
    const editing = edits(() => isOver)
    editing.catch(() => undefined)
    const kills = await killAtRandom(minutes * 60_000, () => traffic.inFlight).finally(() => { isOver = true })
    const standing = await editing
    const ended = performance.now()
    await untilReady(it, BACKOFF * 1.5)
    await until("both pods of the gateway are ready", async () => (await gateways()).filter(({ isReady }) => isReady).length === REPLICAS, BACKOFF * 1.5)
    console.log(`every part is ready ${Math.round(performance.now() - ended)} ms after the last kill`)
    const began = performance.now()
    for (const hostname of standing.values()) await until(`${hostname} is served`, async () => (await statusOf(shop.address, hostname)) === 200, 30_000)
    const settled = performance.now() - began
    await traffic.stop()

    const hard = kills.filter(({ isGateway, isGraceful }) => isGateway && !isGraceful)
    console.log(`seed ${seed}: ${kills.length} pods killed (${kills.filter(({ isGraceful }) => isGraceful).length} asked to go, ${hard.length} gateways not asked), ${traffic.answered} requests answered, the slowest in ${traffic.slowest.toFixed(0)} ms, ${traffic.failures.length} failed, ${traffic.refused} connections refused and made again; every edit live ${settled.toFixed(0)} ms after the last`)
    // Sent before the last process of a gateway had ended, and failed with it; on a kept connection: before the client had heard of that.
    const isExcused = ({ sent, failed, isKept }: Failure): boolean => hard.some(({ at, ended }) => sent <= ended + (isKept ? UNHEARD : 0) && failed >= at && failed <= ended + 1000)
    const inexcusable = traffic.failures.filter((failure) => !isExcused(failure))
    for (const { inFlight, at, ended, pod } of hard) console.log(`${pod} killed with ${inFlight} requests under way anywhere; it took ${Math.round(ended - at)} ms to end, ${traffic.failures.filter(({ failed }) => failed >= at && failed <= ended + 1000).length} failed`)
    for (const { sent, took, isKept } of traffic.slow.slice(0, 10)) console.log(`slow: ${Math.round(took)} ms${isKept ? ", kept" : ""}; ${around(kills, sent)}`)
    expect(inexcusable.map(({ what, sent, isKept }) => `${what}${isKept ? ", kept" : ""}; ${around(kills, sent)}`)).toEqual([])
    // Each of its connections had one request under way at most; and those that were under way elsewhere are none of them.
    expect(traffic.failures.length).toBeLessThanOrEqual(hard.reduce((sum, { inFlight, at, ended }) => sum + inFlight + Math.ceil((ended - at + UNHEARD) * 0.1), 0))
    // Nothing is sent anywhere else by a node that has not heard yet: only then a connection is refused.
    if (hard.length === 0) expect(traffic.refused).toBe(0)
    expect(kills.length).toBeGreaterThanOrEqual(minutes * 4)

    const bus = await it.bus()
    try {
      afresh = await derivedAfresh(it, IMAGE)
      const other = afresh
      const plane = `${namespace}.edge`
      const fresh = await until("another derivation has all of it", async () => {
        const [mine, theirs] = [await entriesOf(bus, plane), await other.entries(plane)]
        return mine.size > standing.size && mine.size === theirs.size && theirs
      }, 60_000).catch(() => other.entries(plane))
      expect(Object.fromEntries(await entriesOf(bus, plane))).toEqual(Object.fromEntries(fresh))
      expect(fresh.size).toBeGreaterThan(standing.size)
    } finally {
      await bus.close()
    }
    expect(seen.losses()).toEqual([])
    expect(seen.flips().filter((flip) => flip.startsWith("gateways"))).toEqual([])
  } finally {
    await afresh?.stop()
    await traffic.stop()
    await seen.stop()
  }
}, minutes * 60_000 + 300_000 + 3 * BACKOFF)
