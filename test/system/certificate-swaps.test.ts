/**
 * A Secret's file is replaced again and again while clients keep connections, make new ones and resume sessions: none
 * of them notices but by what a new handshake presents. HEADGATE_SWAPS: how many, 200 where it is not set.
 */
import type { Bus } from "../../bus/bus.ts"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Authority, type Issued } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend, type Backend } from "./backend.ts"
import { connectTo } from "./bus.ts"
import { newWorld, type Running } from "./headgate.ts"
import { drop, gatewayClass, route, service, take, yaml } from "./manifests.ts"
import { httpsGateway, keyOf, presented, secret } from "./secrets.ts"
import { askOverTls, secureTraffic, type SecureAsk, type SecureTraffic } from "./secure-traffic.ts"
import { followServed, type ServedCertificate } from "./served-certificate.ts"
import { until } from "./until.ts"

const HOST = "shop.example"
const SWAPS = Number(process.env["HEADGATE_SWAPS"] ?? 100)
/** A certificate comes back after this many swaps. */
const POOL = 40

const world = newWorld("swaps")
let authority: Authority
let intermediate: Authority
let pool: readonly Issued[]
let backend: Backend
let bus: Bus
let served: ServedCertificate
let running: Running
let port = 0

/** The Secret's manifest with each of the pool. */
let files: readonly string[]
const at = <T>(list: readonly T[], index: number): T => {
  const found = list[index % list.length]
  if (found === undefined) throw new Error("the pool is empty")
  return found
}

/** The swap that was made last. */
let last = 0

/** Replaces the file. Gives performance.now() of the rename. */
const swapTo = (index: number): number => drop(world.manifests, "secret.yaml", at(files, (last = index)))

/** What the listener presents is in this Secret. */
const nameSecret = (name: string): void => void drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), httpsGateway("edge", [{ name: "https", port, hostname: HOST, secrets: [{ name }] }])))

beforeAll(async () => {
  authority = new Authority()
  intermediate = new Authority(authority)
  pool = Array.from({ length: POOL }, (_, i): Issued => {
    const keyType = i % 2 === 0 ? "ec" : "rsa"
    if (i % 4 < 2) return authority.issue([HOST], keyType)
    const issued = intermediate.issue([HOST], keyType)
    return { ...issued, chain: issued.chain + intermediate.certificate }
  })
  files = pool.map((issued) => yaml(secret("tls", issued.chain, keyOf(issued))))
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  nameSecret("tls")
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "route.yaml", yaml(route("shop", { gateway: "edge", backend: "a" })))
  swapTo(0)
  running = await world.up()
  bus = await connectTo(running.ready)
  served = followServed(bus, "tls")
  await served.untilServed(at(pool, 0))
})

afterAll(async () => {
  await served.stop()
  await bus.close()
  await world.end()
  await backend.stop()
  authority.end()
  intermediate.end()
})

interface Loaded {
  readonly traffic: SecureTraffic
  /** Swaps to the next of the pool. Gives milliseconds from the rename to the ack. */
  swap(): Promise<number>
}

/** Runs swaps while clients of each sort ask; then nothing may have failed, and nothing been presented that is older than an ack. */
const underLoad = async (run: (loaded: Loaded) => Promise<void>): Promise<void> => {
  /** The last swap that was acked, and the last that was begun. */
  let acked = last
  let begun = last
  const wrong: string[] = []
  const expecting = () => {
    const oldest = acked
    return (fingerprint256: string | undefined): string | undefined => {
      for (let index = oldest; index <= begun; index++) if (at(pool, index).fingerprint256 === fingerprint256) return undefined
      const found = pool.findIndex((each) => each.fingerprint256 === fingerprint256)
      return `begun when ${oldest % POOL} was acked, over when ${begun % POOL} was written, and with ${found < 0 ? fingerprint256 : found}`
    }
  }
  const traffic = secureTraffic({ port, host: HOST, ca: authority.certificate, keptAlive: 4, connecting: 2, resuming: 1, expecting })
  await until("traffic flows", () => traffic.requests > 100 && traffic.handshakes > 10 && traffic.resumptions > 5)
  const swap = async (): Promise<number> => {
    begun++
    const renamed = swapTo(begun)
    const took = (await served.untilServed(at(pool, begun))) - renamed
    acked = begun
    // Begun after this ack and before the next rename: it can be with this one only.
    const shown = await presented(port, HOST, authority.certificate)
    if (shown.fingerprint256 !== at(pool, begun).fingerprint256 || shown.distrust !== undefined) wrong.push(`swap ${begun}: ${JSON.stringify(shown)}`)
    return took
  }
  try {
    await run({ traffic, swap })
  } finally {
    await traffic.stop()
  }
  expect(wrong).toEqual([])
  expect(traffic.failures).toEqual([])
  expect(traffic.keptConnections).toBe(4)
}

test(`${SWAPS} swaps under load: no request and no handshake fails, and each handshake begun after the ack is with the new certificate`, { timeout: 60_000 + SWAPS * 200 }, async () => {
  await underLoad(async ({ traffic, swap }) => {
    const before = { requests: traffic.requests, handshakes: traffic.handshakes, resumptions: traffic.resumptions }
    const took: number[] = []
    for (let swaps = 0; swaps < SWAPS; swaps++) took.push(await swap())
    const sorted = took.sort((a, b) => a - b)
    const quantile = (share: number): string => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)
    const handshakes = traffic.handshakes - before.handshakes
    const requests = traffic.requests - before.requests
    console.log(
      `${SWAPS} swaps, ${handshakes + SWAPS} handshakes, ${traffic.resumptions - before.resumptions} resumptions, ${requests} requests, ` +
        `${traffic.failures.length} failures; rename to ack: p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, max ${quantile(1)} ms`,
    )
    // Otherwise there was no load.
    expect(handshakes).toBeGreaterThan(SWAPS / 2)
    expect(requests).toBeGreaterThan(SWAPS)
  })
})

test.each(["functions", "adapter", "nats"] as const)("kill -9 of %s between swaps: no request and no handshake fails, and what was written last is presented", async (part) => {
  await underLoad(async ({ swap }) => {
    for (let round = 0; round < 2; round++) {
      const killed = running.kill(part)
      for (let swaps = 0; swaps < 10; swaps++) await swap()
      await killed
    }
  })
})

const isPresented = ({ fingerprint256 }: Issued) => until(`${fingerprint256} is presented`, async () => (await presented(port, HOST, authority.certificate)).fingerprint256 === fingerprint256)

test("a listener that names another Secret, which nobody has read yet, presents the one before until then: no handshake fails", async () => {
  const before = at(pool, last)
  const other = authority.issue([HOST])
  drop(world.manifests, "other.yaml", yaml(secret("other", other.chain, keyOf(other))))
  const expecting = () => (fingerprint256: string | undefined) => (fingerprint256 === before.fingerprint256 || fingerprint256 === other.fingerprint256 ? undefined : `with ${fingerprint256}`)
  const traffic = secureTraffic({ port, host: HOST, ca: authority.certificate, keptAlive: 2, connecting: 3, resuming: 1, expecting })
  await until("traffic flows", () => traffic.handshakes > 10)
  for (let i = 0; i < 20; i++) {
    nameSecret("other")
    // Also when it was named for a moment only.
    if (i % 4 === 3) {
      nameSecret("tls")
      nameSecret("other")
    }
    await isPresented(other)
    nameSecret("tls")
    await isPresented(before)
  }
  await traffic.stop()
  expect(traffic.failures).toEqual([])
  expect(traffic.keptConnections).toBe(2)
})

describe("a session from before", () => {
  const ask = (tls: NonNullable<SecureAsk["tls"]>, onSession?: (session: Buffer) => void) => askOverTls({ port, host: HOST, ca: authority.certificate, tls, ...(onSession === undefined ? {} : { onSession }) })

  /** What a client keeps that has seen the certificate of now. */
  const begin = async (maxVersion: "TLSv1.2" | "TLSv1.3") => {
    let session: Buffer | undefined
    const { fingerprint256 } = await ask({ maxVersion }, (fresh) => (session = fresh))
    return { maxVersion, session: await until("a ticket has come", () => session), fingerprint256 }
  }

  const swap = async (index: number): Promise<Issued> => {
    swapTo(index)
    await served.untilServed(at(pool, index))
    return at(pool, index)
  }

  test.each(["TLSv1.3", "TLSv1.2"] as const)("a swap is resumed, without another certificate (%s)", async (maxVersion) => {
    const first = await swap(10)
    const { session, fingerprint256 } = await begin(maxVersion)
    expect(fingerprint256).toBe(first.fingerprint256)
    // Of another key type, of another issuer, and both.
    for (const index of [11, 12, 15]) {
      const { fingerprint256: now } = await swap(index)
      expect(await ask({ session, maxVersion })).toMatchObject({ status: 200, isResumed: true, fingerprint256: undefined })
      expect(await ask({ maxVersion })).toMatchObject({ status: 200, isResumed: false, fingerprint256: now })
    }
  })

  test.each(["TLSv1.3", "TLSv1.2"] as const)("the listener named another Secret is not resumed until it names the one again (%s)", async (maxVersion) => {
    const first = await swap(20)
    const { session } = await begin(maxVersion)
    const other = authority.issue([HOST])
    drop(world.manifests, "other.yaml", yaml(secret("other", other.chain, keyOf(other))))
    nameSecret("other")
    await isPresented(other)
    expect(await ask({ session, maxVersion })).toMatchObject({ status: 200, isResumed: false, fingerprint256: other.fingerprint256 })
    nameSecret("tls")
    await isPresented(first)
    expect(await ask({ session, maxVersion })).toMatchObject({ status: 200, isResumed: true })
  })

  test("the Secret was deleted is refused, and resumed once it is there again", async () => {
    await swap(30)
    const { session } = await begin("TLSv1.3")
    take(world.manifests, "secret.yaml")
    await until("nothing is presented", () => presented(port, HOST, authority.certificate).then(() => false, () => true))
    await expect(ask({ session })).rejects.toThrow(/alert/i)
    await swap(31)
    expect(await ask({ session })).toMatchObject({ status: 200, isResumed: true })
  })

  test("a gateway that died is not resumed by its successor, which presents its certificate", async () => {
    const { session, fingerprint256 } = await begin("TLSv1.3")
    await running.kill("gateway")
    expect(await until("the successor answers", () => ask({ session }).catch(() => undefined))).toMatchObject({ status: 200, isResumed: false })
    // What it begins with is on disk, perhaps without the last swap.
    await until("the successor presents the last certificate", async () => (await ask({ session })).fingerprint256 === fingerprint256)
  })
})
