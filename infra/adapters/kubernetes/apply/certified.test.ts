/** Certificates of data planes on a real API server, as the user whose rights are those of permissions.ts. */
import { X509Certificate } from "node:crypto"
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import { busCertificate, type Desired } from "../../../../bus/kinds/desired.ts"
import { systemClock } from "../../../../bus/unit/clock.ts"
import type { Clock } from "../../../../bus/unit/unit.ts"
import { onApiServer } from "../../../../test/cluster/api-server.ts"
import { ADAPTER, prepare, world, type Applying, type World } from "../../../../test/cluster/applying.ts"
import { until } from "../../../../test/system/until.ts"
import { currentAuthority, currentLeaf, type KeyPair, clientSubject } from "../../nats/certificates.ts"
import { resourcePath } from "../client.ts"
import { memberOf, textOf } from "../raw.ts"
import { text } from "./paths.ts"

const DAY = 86_400_000

await onApiServer("certificates of data planes", (server) => {
  let w: World
  let authority: KeyPair
  beforeAll(() => prepare(server()))
  beforeEach(async () => {
    w = await world(server())
    authority = currentAuthority({}, Date.now())
  })
  afterEach(() => w.stop())

  const labels = { "app.kubernetes.io/name": "headgate-gateway" }
  const entry = (kind: string, apiVersion: string, body: Readonly<Record<string, unknown>>, more: Partial<Desired> = {}): readonly [string, Desired] =>
    [`${kind.toLowerCase()}/${w.namespace}/edge`, { schema: 1, source: { kind: "Gateway", namespace: w.namespace, name: "edge" }, apiVersion, kind, namespace: w.namespace, name: "edge", body, ...more }]
  const before = () => entry("Secret", "v1", { metadata: { labels }, type: "Opaque" }, { generated: { "nats-password": { as: "base64url", bytes: 32 } } })
  const secret = () => entry("Secret", "v1", { metadata: { labels }, type: "Opaque" }, { generated: { "nats-password": { as: "base64url", bytes: 32 } }, certificate: { plane: "shop.edge" } })
  const deployment = (image = "i:1") => entry("Deployment", "apps/v1", { metadata: { labels }, spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "gateway", image }] } } } })
  const say = async (...entries: readonly (readonly [string, Desired])[]): Promise<void> => {
    for (const [id, value] of entries) await w.say(id, value)
  }
  const read = (plural: string, group = ""): Promise<unknown> => w.api.request({ path: resourcePath({ group, version: "v1", plural, namespace: w.namespace, name: "edge" }) })
  const data = async (): Promise<ReadonlyMap<string, string>> => new Map(Object.entries(memberOf(await read("secrets"), "data")).map(([key, value]) => [key, Buffer.from(textOf(value), "base64").toString()]))
  const shown = async (): Promise<X509Certificate> => new X509Certificate((await data()).get(busCertificate.certificate) ?? "")
  const settled = async (one: Applying): Promise<void> => {
    await until("it leads", () => one.apply.leads)
    await one.apply.desired.settled()
  }
  const ahead = (days: number): Clock => ({ ...systemClock, wall: () => systemClock.wall() + days * DAY })
  /** Starts the adapter, which has so much to write; and ends it once nothing more is to be done. */
  const writes = async (count: number, options: NonNullable<Parameters<World["start"]>[0]>): Promise<void> => {
    const one = w.start(options)
    await until("it has written", () => one.apply.desired.writes >= count)
    await settled(one)
    await one.stop()
    expect(one.apply.desired.writes).toBe(count)
  }

  test("the Secret holds one for the user of its data plane and no other; nothing is written again, after a restart neither", async () => {
    await say(secret(), deployment())
    // Made, applied, and the Deployment.
    await writes(3, { authority: () => authority })
    const certificate = await shown()
    expect(certificate.subjectAltName).toBe("DNS:gateway.shop_dedge")
    expect(certificate.verify(new X509Certificate(authority.certificate).publicKey)).toBe(true)
    expect((await data()).get(busCertificate.authority)).toBe(authority.certificate)
    await writes(0, { holder: "two", authority: () => authority })
    expect((await shown()).fingerprint256).toBe(certificate.fingerprint256)
  })

  test("it is renewed a month before it ends, and what else is in the Secret stays", async () => {
    await say(secret())
    await writes(2, { authority: () => authority })
    const [first, password] = [await shown(), (await data()).get("nats-password")]
    await writes(0, { holder: "two", authority: () => authority, clock: ahead(59) })
    await writes(1, { holder: "three", authority: () => authority, clock: ahead(61) })
    const second = await shown()
    expect(second.fingerprint256).not.toBe(first.fingerprint256)
    expect(second.validToDate.getTime() - first.validToDate.getTime()).toBeGreaterThan(60 * DAY)
    expect((await data()).get("nats-password")).toBe(password)
  })

  test("while it runs, it looks by itself", async () => {
    let now = systemClock.wall()
    // Five minutes go by in a hundredth of a second.
    const clock: Clock = { ...systemClock, wall: () => now, after: (ms, run) => systemClock.after(ms === 300_000 ? 10 : ms, run) }
    await say(secret())
    const one = w.start({ authority: () => authority, clock })
    await until("it is made and applied", () => one.apply.desired.writes === 2)
    const first = await until("one is there", shown)
    now += 61 * DAY
    await until("another is there", async () => (await shown()).fingerprint256 !== first.fingerprint256)
    authority = currentAuthority({}, now)
    await until("one of the other authority is there", async () => (await shown()).verify(new X509Certificate(authority.certificate).publicKey))
    await one.stop()
    // Made, applied, and twice renewed.
    expect(one.apply.desired.writes).toBe(4)
  })

  test("a Secret of the version before gets one, its password stays, and pods that want it come after", async () => {
    await say(before(), deployment())
    await writes(3, {})
    const [password, generation] = [(await data()).get("nats-password"), text(await read("secrets"), "metadata", "resourceVersion")]
    await say(secret(), deployment("i:2"))
    await writes(2, { holder: "two", authority: () => authority })
    const [later, pods] = [Number(text(await read("secrets"), "metadata", "resourceVersion")), Number(text(await read("deployments", "apps"), "metadata", "resourceVersion"))]
    expect(later).toBeGreaterThan(Number(generation))
    expect(pods).toBeGreaterThan(later)
    expect((await data()).get("nats-password")).toBe(password)
    expect((await shown()).subjectAltName).toBe("DNS:gateway.shop_dedge")
  })

  test("somebody else's certificate is put right", async () => {
    await say(secret())
    const one = w.start({ authority: () => authority })
    await settled(one)
    const stranger = currentLeaf(currentAuthority({}, Date.now()), clientSubject("adapter"), {}, Date.now())
    await w.api.request({ method: "PATCH", path: resourcePath({ group: "", version: "v1", plural: "secrets", namespace: w.namespace, name: "edge" }), query: { fieldManager: "somebody" }, headers: { "content-type": "application/merge-patch+json" }, body: { data: { [busCertificate.certificate]: Buffer.from(stranger.certificate).toString("base64") } } })
    await until("it is the data plane's again", async () => (await shown()).subjectAltName === "DNS:gateway.shop_dedge")
  })

  test("without the authority there is no Secret and there are no pods, and a note says why, until it is there", async () => {
    let isThere = false
    await say(secret(), deployment())
    const one = w.start({ authority: () => {
      if (isThere) return authority
      throw new Error("no such file")
    } })
    const id = await until("a note says so", () => [...one.notes].find(([, { reason }]) => reason === "NoAuthority")?.[0])
    expect(one.notes.get(id)?.message).toContain("no such file")
    expect(one.apply.desired.writes).toBe(0)
    isThere = true
    await until("both are there", async () => (await shown()).subjectAltName !== undefined && (await read("deployments", "apps")) !== undefined)
    await one.apply.desired.settled()
    expect(one.notes.has(id)).toBe(false)
  })
}, [ADAPTER])
