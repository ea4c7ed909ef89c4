/**
 * h2spec (RFC 7540, RFC 7541, and what of them RFC 9113 keeps), strict, against `headgate up` before a real backend: in
 * clear with prior knowledge and over TLS. It is built from its module (test/fixtures/h2spec), where there is `go`.
 */
import { execFile } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Authority } from "../fixtures/authority.ts"
import { goProgram, whyNoGo } from "../fixtures/go-program.ts"
import { freePorts } from "../fixtures/ports.ts"
import { newWorld, type Ready } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, yaml } from "./manifests.ts"
import { httpsGateway, keyOf, secret } from "./secrets.ts"
import { until } from "./until.ts"

/** Cases of the pinned version, strict ones included: a report of fewer has left some out. */
const CASES = 147

/** In clear. A case that is not met, with the reason. */
const UNMET_IN_CLEAR: ReadonlyMap<string, string> = new Map([
  ["http2/3.5: Sends invalid connection preface", "The port speaks HTTP/1.1 too: what is no preface is answered by it, 400 and the end (RFC 9113 §3.4 leaves out GOAWAY for who does not speak HTTP/2). h2spec takes that for half a frame."],
])

/** What a stream of h2spec's needs to be open for, while a machine that is busy lets it say what it is about. */
const THINKING_MS = 100

const world = newWorld("h2spec")
const reason = whyNoGo()
let authority: Authority | undefined
let asked = 0
const backend = createServer((request, response) => {
  asked++
  request.resume()
  setTimeout(() => response.end("0123456789abcdef"), THINKING_MS)
})
let program = ""
let ready: Ready
let ports: readonly number[] = []

beforeAll(async () => {
  if (reason !== undefined) return
  program = await goProgram("h2spec", "github.com/summerwind/h2spec/cmd/h2spec")
  authority = new Authority()
  backend.keepAliveTimeout = 120_000
  backend.listen(0, "127.0.0.1")
  await once(backend, "listening")
  const address = backend.address()
  ports = await freePorts(2)
  const [clear = 0, secure = 0] = ports
  const issued = authority.issue(["localhost", "127.0.0.1"])
  drop(world.manifests, "gateways.yaml", yaml(gatewayClass(), gateway("clear", { http: clear }), httpsGateway("secure", [{ name: "https", port: secure, secrets: [{ name: "pair" }] }])))
  drop(world.manifests, "pair.yaml", yaml(secret("pair", issued.chain, keyOf(issued))))
  drop(world.manifests, "routes.yaml", yaml(...service("a", 80, [{ port: address === null || typeof address === "string" ? 0 : address.port }]), route("clear", { gateway: "clear", backend: "a" }), route("secure", { gateway: "secure", backend: "a" })))
  ;({ ready } = await world.up())
}, 600_000)

afterAll(async () => {
  await world.end()
  backend.close()
  backend.closeAllConnections()
  authority?.end()
})

interface Report {
  /** `section: what is expected` of each case. */
  readonly cases: readonly string[]
  readonly failed: readonly string[]
  readonly skipped: readonly string[]
}

/** A JUnit report: cases are elements with attributes, and with content where they have failed or were left out. */
const reportOf = (xml: string): Report => {
  const found = [...xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*>(.*?)<\/testcase>/gs)].map(([, section = "", what = "", content = ""]) => ({ name: `${section}: ${what}`, content }))
  const named = (element: string): readonly string[] => found.filter(({ content }) => content.includes(`<${element}`)).map(({ name, content }) => (element === "skipped" ? name : `${name}\n${content}`))
  return { cases: found.map(({ name }) => name), failed: [...named("failure"), ...named("error")], skipped: named("skipped") }
}

const h2spec = (port: number, more: readonly string[]): Promise<Report> =>
  new Promise((resolve, reject) => {
    const path = join(world.folder, `h2spec-${port}.xml`)
    // How long an answer is waited for, on a machine that has other things to do.
    execFile(program, ["--strict", "--host", "127.0.0.1", "--port", String(port), "--timeout", "5", "--junit-report", path, ...more], { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      try {
        resolve(reportOf(readFileSync(path, "utf8")))
      } catch {
        reject(new Error(`no report: ${error?.message ?? ""}\n${stdout.slice(-2_000)}\n${stderr.slice(-2_000)}`))
      }
    })
  })

const streamsOpen = async (): Promise<string | undefined> => /headgate_http_requests_in_flight(?:\{[^}]*\})? (\d+)/.exec(await (await fetch(`${ready.admin}/metrics`)).text())?.[1]

describe.skipIf(reason !== undefined)("h2spec, strict", () => {
  test.each([
    ["in clear, with prior knowledge", 0, [], UNMET_IN_CLEAR],
    ["over TLS", 1, ["--tls", "--insecure"], new Map<string, string>()],
  ] as const)("%s: every case is met but those listed, and the backend served what got through", async (_where, at, more, unmet) => {
    const before = asked
    const { cases, failed, skipped } = await h2spec(ports[at] ?? 0, more)
    expect(failed.filter((failure) => ![...unmet.keys()].some((name) => failure.startsWith(name)))).toEqual([])
    expect([...unmet.keys()].filter((name) => !failed.some((failure) => failure.startsWith(name))), "listed as unmet, and met").toEqual([])
    expect(skipped).toEqual([])
    expect(cases.length).toBe(CASES)
    expect(asked - before).toBeGreaterThan(50)
    await until("no stream is left open", async () => (await streamsOpen()) === "0")
  }, 300_000)
})
