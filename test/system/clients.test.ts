/** openssl, curl and a browser at a listener with an RSA and an ECDSA certificate, both of which have just been swapped. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Bus } from "../../bus/bus.ts"
import { Authority, type Issued, type KeyType } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend, type Backend } from "./backend.ts"
import { connectTo } from "./bus.ts"
import { chromium, curl, found, openssl, pinOf, type Site } from "./clients.ts"
import { newWorld } from "./headgate.ts"
import { drop, gatewayClass, route, service, yaml } from "./manifests.ts"
import { httpsGateway, keyOf, secret } from "./secrets.ts"
import { followServed } from "./served-certificate.ts"

// Below localhost: a browser needs no resolver for it (RFC 6761 §6.3).
const HOST = "shop.localhost"
const TYPES = ["ec", "rsa"] as const
const world = newWorld("clients")
let authority: Authority
let stranger: Authority
let intermediate: Authority
let backend: Backend
let bus: Bus
let site: Site
let before: Readonly<Record<KeyType, Issued>>
let now: Readonly<Record<KeyType, Issued>>

/** Swaps both certificates, and waits until that is acked. */
const swap = async (next: Readonly<Record<KeyType, Issued>>): Promise<void> => {
  for (const type of TYPES) {
    const served = followServed(bus, type)
    drop(world.manifests, `${type}.yaml`, yaml(secret(type, next[type].chain, keyOf(next[type]))))
    await served.untilServed(next[type])
    await served.stop()
  }
}

beforeAll(async () => {
  authority = new Authority()
  stranger = new Authority()
  intermediate = new Authority(authority)
  before = { ec: authority.issue([HOST], "ec"), rsa: authority.issue([HOST], "rsa") }
  const below = intermediate.issue([HOST], "ec")
  now = { ec: { ...below, chain: below.chain + intermediate.certificate }, rsa: authority.issue([HOST], "rsa") }
  const [port = 0] = await freePorts(1)
  site = { port, host: HOST, caFile: authority.certificateFile }
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), httpsGateway("edge", [{ name: "https", port, hostname: HOST, secrets: TYPES.map((name) => ({ name })) }])))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "route.yaml", yaml(route("shop", { gateway: "edge", backend: "a" })))
  for (const type of TYPES) drop(world.manifests, `${type}.yaml`, yaml(secret(type, before[type].chain, keyOf(before[type]))))
  bus = await connectTo((await world.up()).ready)
  await swap(now)
})

afterAll(async () => {
  await bus.close()
  await world.end()
  await backend.stop()
  authority.end()
  stranger.end()
  intermediate.end()
})

describe("openssl s_client", () => {
  test.each([
    ["TLS 1.3", ["-tls1_3"], "ec", "TLSv1.3"],
    ["TLS 1.3 and no signatures but RSA's", ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"], "rsa", "TLSv1.3"],
    ["TLS 1.3 and no signatures but ECDSA's", ["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"], "ec", "TLSv1.3"],
    ["TLS 1.2", ["-tls1_2"], "ec", "TLSv1.2"],
    ["TLS 1.2 and no ciphers but RSA's", ["-tls1_2", "-cipher", "aRSA"], "rsa", "TLSv1.2"],
    ["TLS 1.2 and no ciphers but ECDSA's", ["-tls1_2", "-cipher", "aECDSA"], "ec", "TLSv1.2"],
    ["TLS 1.2 and no signatures but RSA's", ["-tls1_2", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"], "rsa", "TLSv1.2"],
  ] as const)("%s", async (_what, options, type, version) => {
    const { code, stdout, stderr, fingerprint256, status } = await openssl(site, options)
    expect(stderr).not.toMatch(/error/)
    expect({ code, status, fingerprint256 }).toEqual({ code: 0, status: 200, fingerprint256: now[type].fingerprint256 })
    expect(stdout).toMatch(new RegExp(`New, ${version}, Cipher is `))
    expect(stdout).toMatch(/Verify return code: 0 \(ok\)/)
    expect(stdout).toContain(`"host":"${HOST}:${site.port}"`)
  })

  test("http/1.1 is agreed on where h2 is not offered", async () => {
    expect((await openssl(site, ["-alpn", "http/1.0,http/1.1"])).stdout).toMatch(/^ALPN protocol: http\/1\.1$/m)
  })

  test("the chain is complete where it has an intermediate", async () => {
    const { stdout } = await openssl(site, ["-showcerts"])
    expect(stdout.match(/^ \d s:.*$/gm)).toEqual([` 0 s:CN = ${HOST}`, " 1 s:CN = Headgate test intermediate"])
  })

  test.each([
    ["who trusts another authority", () => ({ ...site, caFile: stranger.certificateFile }), [], /unable to get (local )?issuer certificate/],
    ["a name no listener has", () => ({ ...site, host: "else.localhost" }), [], /unrecognized name/],
    ["TLS 1.1", () => site, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], /protocol version|no protocols available/],
    ["a cipher without forward secrecy", () => site, ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], /handshake failure/],
  ] as const)("is refused: %s", async (_what, where, options, says) => {
    const { code, stdout, stderr, status } = await openssl(where(), options)
    expect({ code, status }).toEqual({ code: 1, status: 0 })
    expect(stdout + stderr).toMatch(says)
  })
})

describe("curl", () => {
  const here = found("curl")
  const pinned = (issued: Issued, ...options: readonly string[]) => curl(site, ["--pinnedpubkey", `sha256//${pinOf(issued)}`, ...options])

  test("is answered over both versions of TLS, by the certificate of its key type", async (context) => {
    if ("reason" in here) return context.skip(here.reason)
    for (const [http, ...options] of [["2", "--tlsv1.3"], ["2", "--tls-max", "1.2"], ["1.1", "--http1.1"]] as const) {
      const { code, stdout, stderr } = await pinned(now.ec, ...options)
      expect({ code, stderr, last: stdout.split("\n").at(-1) }).toEqual({ code: 0, stderr: "", last: `200 ${http}` })
      expect(JSON.parse(stdout.split("\n")[0] ?? "")).toMatchObject({ backend: "a", host: `${HOST}:${site.port}`, headers: { "x-forwarded-proto": "https" } })
    }
    expect(await pinned(now.rsa, "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256")).toMatchObject({ code: 0, stdout: expect.stringMatching(/\n200 2$/) })
  })

  test("sees neither certificate of before the swap, and trusts only who issued", async (context) => {
    if ("reason" in here) return context.skip(here.reason)
    expect((await pinned(before.ec)).code).toBe(90)
    expect((await pinned(before.rsa, "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256")).code).toBe(90)
    expect((await curl({ ...site, caFile: stranger.certificateFile })).code).toBe(60)
  })

  test("a hundred requests over one connection", async (context) => {
    if ("reason" in here) return context.skip(here.reason)
    const url = `https://${HOST}:${site.port}/[1-99]`
    const { code, stdout } = await curl(site, ["--output", "/dev/null", "--write-out", "%{http_code} %{num_connects}\\n", url])
    expect(code).toBe(0)
    expect(stdout.match(/200 1$/gm)?.length).toBe(1)
    expect(stdout.match(/200 0$/gm)?.length).toBe(99)
  })
})

describe("Chromium", () => {
  const here = found("chromium", "chromium-browser", "google-chrome")

  test("shows the page of who has the key of now, and nothing of who would have another", async (context) => {
    if ("reason" in here) return context.skip(here.reason)
    const { code, stdout, stderr } = await chromium(here.program, site, pinOf(now.ec))
    expect({ code, stdout: stdout.includes('"backend":"a"') }, stderr).toEqual({ code: 0, stdout: true })
    expect(stdout).toContain(`"host":"${HOST}:${site.port}"`)
    const asked = backend.requests
    expect((await chromium(here.program, site, pinOf(before.ec))).stdout).not.toContain("backend")
    expect(backend.requests).toBe(asked)
  })

  test("follows a swap: what it showed before is refused after, and the other way round", async (context) => {
    if ("reason" in here) return context.skip(here.reason)
    await swap(before)
    try {
      expect((await chromium(here.program, site, pinOf(before.ec))).stdout).toContain('"backend":"a"')
      expect((await chromium(here.program, site, pinOf(now.ec))).stdout).not.toContain("backend")
    } finally {
      await swap(now)
    }
  })
})
