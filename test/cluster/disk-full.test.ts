/** The disk of NATS' store is full: what is served goes on, and what was edited meanwhile is live once there is room, without anybody's help. */
import { closeSync, openSync, rmSync, writeSync } from "node:fs"
import { afterAll, beforeAll, expect, test } from "vitest"
import { until } from "../system/until.ts"
import { edge, httpRoute, statusOf, type Edge } from "./edge.ts"
import { inTurns } from "./in-turns.ts"
import { installation, pidsOf, type Installation, type Pod } from "./installation.ts"
import { openLoop } from "./open-loop.ts"
import { record } from "./recorded.ts"

const NAME = "t-disk-full"
const group = "gateway.networking.k8s.io"
const FULL_FOR = 15_000

let it: Installation
let shop: Edge

beforeAll(async () => {
  it = await installation(NAME)
  shop = await edge("t-disk-full-shop", { gatewayClassName: NAME })
}, 240_000)
afterAll(async () => {
  await shop.space.end()
  await it.end()
})

const accepted = (name: string): Promise<string> => shop.space.get("httproute", name, "{.status.parents[0].conditions[?(@.type=='Accepted')].status}")
const isLive = async (name: string): Promise<boolean> => (await statusOf(shop.address, `${name}.example`)) === 200
const isStoring = async (): Promise<boolean> => (await it.pods("headgate-nats")).every(({ isReady }) => isReady)
const logOf = (what: string, ...more: readonly string[]): Promise<string> => shop.space.kubectl("-n", NAME, "logs", what, "--all-pods=true", ...more)
const rolledOut = (what: string): Promise<unknown> => until(`${what} has its pods`, () => shop.space.kubectl("-n", NAME, "rollout", "status", what, "--timeout=50s").catch(() => undefined), 200_000)

test("NATS' disk is full: what is served goes on, and edits made meanwhile are live once there is room", async () => {
  // A volume that is small, in memory: full is what the kernel says. The history wants gigabytes, and whoever is first in a new store decides on it.
  await shop.space.kubectl("-n", NAME, "scale", "deployment/headgate-history", "--replicas=0")
  await shop.space.kubectl("-n", NAME, "set", "env", "deployment/headgate-adapter", "deployment/headgate-functions", "HEADGATE_HISTORY=off")
  for (const part of ["adapter", "functions"]) await rolledOut(`deployment/headgate-${part}`)
  await shop.space.kubectl("-n", NAME, "patch", "statefulset", "headgate-nats", "-p", JSON.stringify({ spec: { template: { spec: { volumes: [{ name: "data", emptyDir: { medium: "Memory", sizeLimit: "1Gi" } }] } } } }))
  await rolledOut("statefulset/headgate-nats")
  await shop.space.apply(httpRoute("before", "before.example"))
  await until("an edit is live", () => isLive("before"), 60_000)
  const [nats] = await it.pods("headgate-nats")
  if (nats === undefined) throw new Error("there is no nats-server")
  const file = `/proc/${pidsOf(nats)[0]}/root/data/others`
  const names = Array.from({ length: 20 }, (_, i) => `meanwhile-${i}`)
  const namespace = shop.space.name
  const seen = await record({ group, plural: "gateways", namespace }, { group, plural: "httproutes", namespace }, { group: "", plural: "services", namespace }, { group: "apps", plural: "deployments", namespace })
  const traffic = openLoop({ address: shop.address, host: "ready.example", rate: 50 })
  try {
    expect(() => fill(file)).toThrow("ENOSPC")
    const began = performance.now()
    await inTurns(names, 4, (name) => shop.space.apply(httpRoute(name, `${name}.example`)))
    await until("it is said by whom people look at first", async () => !(await isStoring()), 30_000)
    await until("it has been so for a while", () => performance.now() - began > FULL_FOR, FULL_FOR + 5000)
    expect((await Promise.all(names.map(isLive))).filter(Boolean)).toEqual([])
    expect((await logOf("statefulset/headgate-nats")).match(/the disk of \/data is full/g)).toHaveLength(1)
    // A line for each stream, not for each message. Who stands by tries for the lease.
    for (const part of ["adapter", "functions"]) {
      const said = [...(await logOf(`deployment/headgate-${part}`)).matchAll(/^\[pod\/(\S+).*nothing can be stored in ([A-Z]+)/gm)].map(([, pod, stream]) => `${pod} ${stream}`)
      expect(said).not.toEqual([])
      expect(said).toEqual([...new Set(said)])
    }
  } finally {
    await removeFrom(nats, "others")
  }
  const began = performance.now()
  for (const name of names) await until("the edit is live", () => isLive(name), 90_000)
  console.log(`every edit is live ${Math.round(performance.now() - began)} ms after there is room`)
  for (const name of names) await until("its status is said", async () => (await accepted(name)) === "True", 30_000)
  expect(await isStoring()).toBe(true)
  expect(await it.pods("headgate-nats")).toMatchObject([{ uid: nats.uid, restarts: nats.restarts + 1 }])
  await traffic.stop()
  await seen.stop()
  expect(traffic.failures).toEqual([])
  expect(traffic.refused).toBe(0)
  expect(seen.flips()).toEqual([])
  expect(seen.losses()).toEqual([])
}, 480_000)

/** Throws the system's error when no more goes into it. */
const fill = (file: string): void => {
  const descriptor = openSync(file, "w")
  try {
    for (const piece = Buffer.alloc(65_536); ; ) writeSync(descriptor, piece)
  } finally {
    closeSync(descriptor)
  }
}

/** Wherever its container is by now; a pod that was replaced took it along. */
const removeFrom = async (pod: Pod, file: string): Promise<void> => {
  const now = (await it.pods("headgate-nats")).find(({ uid }) => uid === pod.uid)
  const pid = now === undefined ? undefined : await until("its container runs", async () => (await it.pods("headgate-nats")).filter(({ uid }) => uid === pod.uid).flatMap((each) => pidsOf(each))[0], 60_000)
  if (pid !== undefined) rmSync(`/proc/${pid}/root/data/${file}`, { force: true })
}
