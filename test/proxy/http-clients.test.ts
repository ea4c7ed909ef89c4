/** Clients people have, in clear and over TLS, each in the versions of HTTP it speaks, before node:http. What is not on this machine is left out. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server, type ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { Authority, certificateEntry, type Issued } from "../fixtures/authority.ts"
import { goProgram, whyNoGo } from "../fixtures/go-program.ts"
import { chromium, found, pinOf } from "../system/clients.ts"
import { eventually, startGateway, type Gateway } from "./scripted.ts"
import { everything, secretId, secureListener, startSecureGateway, type SecureGateway } from "./secure.ts"

const HOST = "shop.localhost"
const CONTENT = Buffer.alloc(3_000_000, "abcdefghijklmnopqrstuvwxyz")
const digestOf = (data: Buffer | string): string => createHash("sha256").update(data).digest("hex")

let authority: Authority
let issued: Issued
let server: Server
let clear: Gateway
let secure: SecureGateway
let folder: string
let upload: string
/** `METHOD target length version` of each request, as the backend saw it. */
const asked: string[] = []
const events: ServerResponse[] = []
let onLast: (() => void) | undefined

/** Says what it was sent; `/trailers` says it in chunks with trailers; `/events`, `/page` and `/last.js` are for browsers. */
const answer = (request: { readonly method?: string | undefined; readonly url?: string | undefined }, body: Buffer, trailers: NodeJS.Dict<string>, response: ServerResponse): void => {
  switch (request.url) {
    case "/":
      response.writeHead(200, { "content-type": "text/html" }).end(`<p id=p>nothing</p><script>
        const heard = []
        const source = new EventSource("/events")
        source.onmessage = async ({ data }) => {
          heard.push(data)
          if (heard.length < 3) return
          source.close()
          const back = await (await fetch("/echo", { method: "POST", body: new Uint8Array(300000).fill(97) })).json()
          p.textContent = [performance.getEntriesByType("navigation")[0].nextHopProtocol, heard.join("+"), back.length].join(" ")
          await fetch("/over")
        }
      </script><script src="/last.js"></script>`)
      return
    case "/events":
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: one\n\n")
      events.push(response)
      setImmediate(() => response.write("data: two\n\ndata: three\n\n"))
      return
    case "/over":
      response.end()
      onLast?.()
      return
    case "/last.js":
      onLast = () => response.writeHead(200, { "content-type": "text/javascript" }).end()
      return
    case "/trailers":
      response.writeHead(200, { trailer: "X-Sum" }).write("in ")
      response.addTrailers({ "X-Sum": "7" })
      response.end("chunks")
      return
    default:
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ method: request.method, url: request.url, length: body.length, digest: digestOf(body), trailers }))
  }
}

beforeAll(async () => {
  authority = new Authority()
  issued = authority.issue([HOST, "localhost", "127.0.0.1"], "ec")
  folder = mkdtempSync(join(tmpdir(), "headgate-clients-"))
  upload = join(folder, "upload")
  writeFileSync(upload, CONTENT)
  // nghttp's CONTINUATION comes with fields of 16 KB.
  server = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
    const parts: Buffer[] = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const body = Buffer.concat(parts)
      asked.push(`${request.method} ${request.url} ${body.length}`)
      answer(request, body, request.trailers, response)
    })
  })
  server.keepAliveTimeout = 120_000
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  const port = address === null || typeof address === "string" ? 0 : address.port
  clear = await startGateway([port])
  secure = await startSecureGateway(authority, port)
  secure.apply({
    certificates: new Map([[secretId("a"), certificateEntry("a", issued, secure.planeKey)]]),
    listeners: new Map([["l", secureListener("l", ["a"])]]),
    routes: new Map([["all", everything("l")]]),
  })
})
beforeEach(() => {
  asked.length = 0
})
afterEach(async () => {
  // Whatever the client did, nothing of it is left.
  for (const response of events.splice(0)) response.end()
  await eventually("nothing is in flight", () => clear.http.inFlight + secure.http.inFlight === 0)
})
afterAll(async () => {
  await clear.stop()
  await secure.stop()
  server.close()
  server.closeAllConnections()
  authority.end()
  rmSync(folder, { recursive: true, force: true })
})

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Not synchronous: what it asks is answered by this process. Ended after 60 s. */
const run = async (program: string, args: readonly string[], input: string | Buffer = ""): Promise<Ended> => {
  const child = spawn(program, args, { timeout: 60_000 })
  let [out, err] = ["", ""]
  child.stdout.setEncoding("latin1").on("data", (text: string) => (out += text))
  child.stderr.setEncoding("latin1").on("data", (text: string) => (err += text))
  child.stdin.on("error", () => undefined)
  child.stdin.end(input)
  const [code] = await once(child, "close")
  return { code: typeof code === "number" ? code : null, out, err }
}

const clearUrl = (path: string): string => `http://127.0.0.1:${clear.port}${path}`
const secureUrl = (path: string): string => `https://${HOST}:${secure.port}${path}`

describe("curl", () => {
  const here = found("curl")
  const missing = "reason" in here
  const curl = async (...args: readonly string[]): Promise<Ended> => {
    const ended = await run("curl", ["--disable", "--silent", "--show-error", "--no-progress-meter", "--noproxy", "*", "--cacert", authority.certificateFile, "--resolve", `${HOST}:${secure.port}:127.0.0.1`, "--write-out", "\n%{http_code} %{http_version}", ...args], CONTENT)
    expect({ code: ended.code, err: ended.err }).toEqual({ code: 0, err: "" })
    return ended
  }
  const ways: readonly (readonly [name: string, version: string, options: readonly string[], url: (path: string) => string])[] = [
    ["HTTP/1.0", "1.1", ["--http1.0"], clearUrl],
    ["HTTP/1.1", "1.1", ["--http1.1"], clearUrl],
    ["HTTP/2 with prior knowledge", "2", ["--http2-prior-knowledge"], clearUrl],
    ["an upgrade to HTTP/2, which is not followed", "1.1", ["--http2"], clearUrl],
    ["HTTP/1.1 over TLS", "1.1", ["--http1.1"], secureUrl],
    ["HTTP/2 over TLS", "2", ["--http2"], secureUrl],
  ]

  test.skipIf(missing).each(ways)("%s: GET, HEAD, POST, uploads with and without a length, trailers", async (name, version, options, url) => {
    const last = `\n200 ${version}`
    expect(await curl(...options, url("/echo?x=y"))).toMatchObject({ out: expect.stringMatching(/"url":"\/echo\?x=y"/) })
    expect((await curl(...options, "--head", url("/echo"))).out).toMatch(/^HTTP\/[\d.]+ 200/)
    const posted = await curl(...options, "--data", "a=b", url("/echo"))
    expect(posted.out).toContain(`"digest":"${digestOf("a=b")}"`)
    expect(posted.out.endsWith(last)).toBe(true)
    expect((await curl(...options, "--upload-file", upload, url("/echo"))).out).toContain(`"digest":"${digestOf(CONTENT)}"`)
    // HTTP/1.0 has no chunks, and curl then sends none of what it does not know the length of.
    if (name !== "HTTP/1.0") expect((await curl(...options, "--upload-file", "-", url("/echo"))).out).toContain(`"digest":"${digestOf(CONTENT)}"`)
    const trailed = await curl(...options, "--dump-header", "-", url("/trailers"))
    expect(trailed.out).toContain("in chunks")
    if (name !== "HTTP/1.0") expect(trailed.out).toMatch(/x-sum: 7/i)
    expect(asked.filter((line) => line.startsWith("PUT"))).toEqual(Array(name === "HTTP/1.0" ? 1 : 2).fill(`PUT /echo ${CONTENT.length}`))
  })

  test.skipIf(missing)("a hundred requests share one connection, in parallel over HTTP/2", async () => {
    const accepted = secure.metrics.listener(443).accepted
    const { out } = await curl("--http2", "--parallel", "--parallel-max", "20", "--output", "/dev/null", secureUrl("/echo?[1-100]"))
    expect(out.match(/200 2$/gm)?.length).toBe(100)
    expect(secure.metrics.listener(443).accepted - accepted).toBeLessThan(20)
    expect(asked.length).toBe(100)
  })
})

describe("nghttp", () => {
  const missing = "reason" in found("nghttp")

  test.skipIf(missing).each([["in clear", clearUrl], ["over TLS", secureUrl]] as const)("%s: several streams, an upload with trailers, small windows, padding and CONTINUATION", async (_where, url) => {
    // It resolves names by itself, and knows localhost.
    const at = url("/").replace(HOST, "127.0.0.1")
    const several = await run("nghttp", ["--no-verify-peer", "--null-out", "--stat", `${at}echo?1`, `${at}echo?2`, `${at}trailers`])
    expect(several.out.match(/ 200 /g)?.length, several.err).toBe(3)
    const sent = await run("nghttp", ["--no-verify-peer", "--data", upload, "--no-content-length", "--trailer", "x-sum: 9", "--window-bits", "14", "--padding", "200", "--continuation", `${at}echo`])
    expect(sent.out).toContain(`"length":${CONTENT.length},"digest":"${digestOf(CONTENT)}","trailers":{"x-sum":"9"}`)
    const told = await run("nghttp", ["--no-verify-peer", "--verbose", "--header-table-size", "0", `${at}trailers`])
    expect(told.out).toMatch(/:status: 200[^]*x-sum: 7/)
  })
})

describe("h2load", () => {
  const missing = "reason" in found("h2load")

  test.skipIf(missing).each([
    ["HTTP/2 in clear", clearUrl, []],
    ["HTTP/1.1 in clear", clearUrl, ["--h1"]],
    ["HTTP/2 over TLS", secureUrl, []],
    ["HTTP/1.1 over TLS", secureUrl, ["--h1"]],
    ["uploads over HTTP/2", clearUrl, ["--data=/etc/hostname"]],
    ["HTTP/2 with small windows", clearUrl, ["--window-bits=12", "--connection-window-bits=14"]],
  ] as const)("%s: no request fails", async (_what, url, more) => {
    const { out, err } = await run("h2load", ["--requests", "1500", "--clients", "5", "--max-concurrent-streams", "16", ...more, url("/echo").replace(HOST, "127.0.0.1")])
    expect(out, err).toContain("1500 total, 1500 started, 1500 done, 1500 succeeded, 0 failed, 0 errored, 0 timeout")
    expect(asked.length).toBe(1_500)
  })
})

describe("Python's http.client", () => {
  const here = found("python3")
  const missing = "reason" in here

  test.skipIf(missing).each([["in clear", false], ["over TLS", true]] as const)("%s: a connection that is kept, chunks, content without end, HEAD", async (_where, isSecure) => {
    const script = `
import http.client, ssl, sys, json
port, ca = int(sys.argv[1]), sys.argv[2]
if ca == "-": c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
else: c = http.client.HTTPSConnection("localhost", port, timeout=30, context=ssl.create_default_context(cafile=ca))
def said(method, path, **more):
    c.request(method, path, **more)
    r = c.getresponse()
    body = r.read()
    return [r.status, r.version, len(body), body.decode() if len(body) < 1000 else ""]
out = [said("GET", "/echo"), said("HEAD", "/echo"), said("POST", "/echo", body=b"a=b"), said("PUT", "/echo", body=iter([b"abc", b"d" * 100000, b""]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}), said("GET", "/trailers"), said("DELETE", "/echo", body=b"x" * 70000)]
out.append(said("GET", "/echo", headers={"Connection": "close"}))
print(json.dumps(out))`
    const { code, out, err } = await run("python3", ["-c", script, String(isSecure ? secure.port : clear.port), isSecure ? authority.certificateFile : "-"])
    expect({ code, err }).toEqual({ code: 0, err: "" })
    const answers: unknown = JSON.parse(out)
    expect(answers).toMatchObject([
      [200, 11, expect.any(Number), expect.stringContaining('"length":0')], [200, 11, 0, ""], [200, 11, expect.any(Number), expect.stringContaining(digestOf("a=b"))], [200, 11, expect.any(Number), expect.stringContaining('"length":100003')], [200, 11, 9, "in chunks"], [200, 11, expect.any(Number), expect.stringContaining('"length":70000')], [200, 11, expect.any(Number), expect.stringContaining('"length":0')],
    ])
    expect(asked).toEqual(["GET /echo 0", "HEAD /echo 0", "POST /echo 3", "PUT /echo 100003", "GET /trailers 0", "DELETE /echo 70000", "GET /echo 0"])
  })
})

describe("Go's net/http", () => {
  const missing = whyNoGo() !== undefined
  let program = ""
  beforeAll(async () => {
    if (!missing) program = await goProgram("go-http")
  }, 120_000)

  test.skipIf(missing).each([
    ["HTTP/1.1", "1.1", "HTTP/1.1", false],
    ["HTTP/1.1 over TLS", "1.1", "HTTP/1.1", true],
    ["HTTP/2 over TLS", "2", "HTTP/2.0", true],
    ["HTTP/2 with prior knowledge", "h2c", "HTTP/2.0", false],
  ] as const)("%s: many requests, uploads with and without a length, trailers both ways", async (_what, protocol, version, isSecure) => {
    const base = isSecure ? `https://${HOST}` : "http://example.com"
    const requests = [
      { method: "GET", url: `${base}/echo`, length: -1 },
      { method: "POST", url: `${base}/echo`, length: CONTENT.length },
      { method: "PUT", url: `${base}/echo`, length: CONTENT.length, isChunked: true, trailers: { "X-Sum": "5" } },
      { method: "GET", url: `${base}/trailers`, length: -1 },
      { method: "HEAD", url: `${base}/echo`, length: -1 },
      ...Array.from({ length: 60 }, (_, i) => ({ method: i % 2 === 0 ? "GET" : "POST", url: `${base}/echo?${i}`, length: i % 2 === 0 ? -1 : i })),
    ]
    const { code, out, err } = await run(program, ["ask", "-protocol", protocol, "-at", `127.0.0.1:${isSecure ? secure.port : clear.port}`, ...(isSecure ? ["-ca", authority.certificateFile] : [])], requests.map((request) => JSON.stringify(request)).join("\n"))
    expect({ code, err }).toEqual({ code: 0, err: "" })
    const answers: readonly { readonly protocol: string; readonly status: number; readonly length: number; readonly error?: string; readonly trailers?: Readonly<Record<string, string>> }[] = out.trimEnd().split("\n").map((line) => JSON.parse(line))
    expect(answers.filter(({ error, protocol: spoken, status }) => error !== undefined || spoken !== version || status !== 200)).toEqual([])
    expect(answers.length).toBe(requests.length)
    expect(answers[3]).toMatchObject({ length: 9, trailers: { "x-sum": "7" } })
    expect(answers[4]?.length).toBe(0)
    expect(asked.toSorted()).toEqual(requests.map(({ method, url, length }) => `${method} ${url.slice(base.length)} ${Math.max(0, length)}`).toSorted())
  })
})

describe("Chromium", () => {
  const here = found("chromium", "chromium-browser", "google-chrome")

  test.skipIf("reason" in here)("speaks HTTP/2 over TLS: a page, its event stream and a POST beside that", async () => {
    if ("reason" in here) return
    const { code, stdout, stderr } = await chromium(here.program, { port: secure.port, host: HOST, caFile: authority.certificateFile }, pinOf(issued))
    expect({ code, shown: /<p id="p">([^<]*)</.exec(stdout)?.[1] }, stderr).toEqual({ code: 0, shown: "h2 one+two+three 300000" })
    expect(asked).toContain("POST /echo 300000")
  }, 60_000)
})
