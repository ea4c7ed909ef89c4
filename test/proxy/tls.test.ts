/** TLS as clients see it: which certificate they get, on what terms, and what they are told when they get none. */
import { execFile } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import tls from "node:tls"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { match, route, rule } from "../../gateway/table/fixture.ts"
import type { Settings } from "../../gateway/settings.ts"
import type { HandshakeFailure } from "../../gateway/telemetry/metrics.ts"
import { Authority, certificateEntry, type Issued } from "../fixtures/authority.ts"
import { answering, eventually, startBackend, type Backend, type Heard } from "./scripted.ts"
import { everything, handshake, secretId, secureListener, startSecureGateway, type SecureGateway } from "./secure.ts"

let authority: Authority
let a: Issued
let wild: Issued
let b: Issued
let rsa: Issued
let renewed: Issued
beforeAll(() => {
  authority = new Authority()
  a = authority.issue(["a.test"])
  wild = authority.issue(["*.a.test"])
  b = authority.issue(["b.test"])
  rsa = authority.issue(["a.test"], "rsa")
  renewed = authority.issue(["a.test"])
})
afterAll(() => authority.end())

let backend: Backend
let gateway: SecureGateway
let asked: Heard[] = []
const start = async (settings: Partial<Settings> = {}, logTo?: number): Promise<void> => {
  gateway = await startSecureGateway(authority, backend.port, { settings, ...(logTo === undefined ? {} : { logTo }) })
}
beforeEach(async () => {
  asked = []
  backend = await startBackend(answering((request) => {
    asked.push(request)
    return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
  }))
})
afterEach(async () => {
  await gateway.stop()
  await backend.stop()
})

/** One listener for any host that names these Secrets, each with its certificate; everything goes to the backend. */
const serve = (...secrets: readonly (readonly [string, Issued])[]): void => {
  gateway.apply({
    certificates: new Map(secrets.map(([name, issued]) => [secretId(name), certificateEntry(name, issued, gateway.planeKey)])),
    listeners: new Map([["l", secureListener("l", secrets.map(([name]) => name))]]),
    routes: new Map([["all", everything("l")]]),
  })
}
const presented = async (options: tls.ConnectionOptions): Promise<string | undefined> => {
  const socket = await handshake(gateway.port, options)
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}
const failures = (why: HandshakeFailure): number => gateway.metrics.listener(443).tls?.failures(why) ?? 0
const counted = (why: HandshakeFailure, count = 1): Promise<void> => eventually(`${why} is counted`, () => failures(why) === count)
const run = (program: string, args: readonly string[], input = ""): Promise<string> =>
  new Promise((resolve) => {
    const child = execFile(program, args, { timeout: 10_000 }, (_, stdout, stderr) => resolve(stdout + stderr))
    child.stdin?.end(input)
  })
const openssl = (...args: readonly string[]): Promise<string> => run("openssl", ["s_client", "-connect", `127.0.0.1:${gateway.port}`, ...args], "Q\n")
const curl = (host: string, ...args: readonly string[]): Promise<string> =>
  run("curl", ["-sS", "--cacert", authority.certificateFile, "--resolve", `${host}:${gateway.port}:127.0.0.1`, ...args, `https://${host}:${gateway.port}/x?y`])

describe("which certificate", () => {
  test("exact name, wildcard of one label, else the listener's first, also without a name", async () => {
    await start()
    serve(["b", b], ["wild", wild], ["a", a])
    expect(await presented({ servername: "a.test" })).toBe(a.fingerprint256)
    expect(await presented({ servername: "A.Test" })).toBe(a.fingerprint256)
    expect(await presented({ servername: "x.a.test" })).toBe(wild.fingerprint256)
    expect(await presented({ servername: "x.y.a.test" })).toBe(b.fingerprint256)
    expect(await presented({ servername: "nobody.test" })).toBe(b.fingerprint256)
    expect(await presented({})).toBe(b.fingerprint256)
  })

  test("the most specific listener of the name has the say, with certificates of its own", async () => {
    await start()
    gateway.present("a", a)
    gateway.present("wild", wild)
    gateway.present("b", b)
    gateway.apply({
      listeners: new Map([["exact", secureListener("exact", ["b"], { hostname: "a.test" })], ["wild", secureListener("wild", ["wild"], { hostname: "*.a.test" })], ["any", secureListener("any", ["a"])]]),
    })
    expect(await presented({ servername: "a.test" })).toBe(b.fingerprint256)
    expect(await presented({ servername: "x.y.a.test" })).toBe(wild.fingerprint256)
    expect(await presented({})).toBe(a.fingerprint256)
    gateway.apply({ listeners: new Map([["any", null]]) })
    await expect(handshake(gateway.port)).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_UNRECOGNIZED_NAME" })
    await expect(handshake(gateway.port, { servername: "b.test" })).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_UNRECOGNIZED_NAME" })
    expect(failures("no-listener")).toBe(2)
  })

  test.each(["TLSv1.2", "TLSv1.3"] as const)("RSA or ECDSA as the client can verify, %s", async (version) => {
    await start()
    serve(["ec", a], ["rsa", rsa])
    const only = (sigalgs: string): Promise<string | undefined> => presented({ servername: "a.test", minVersion: version, maxVersion: version, sigalgs })
    expect(await only("ecdsa_secp256r1_sha256")).toBe(a.fingerprint256)
    expect(await only("rsa_pss_rsae_sha256:rsa_pkcs1_sha256")).toBe(rsa.fingerprint256)
  })

  test("a client that can verify none of them is refused, and counted", async () => {
    await start()
    serve(["ec", a])
    await expect(handshake(gateway.port, { servername: "a.test", sigalgs: "rsa_pss_rsae_sha256" })).rejects.toThrow(/handshake failure/)
    await counted("cipher")
  })

  test("none: refused with an alert, counted, and noted; the connection after it is served", async () => {
    await start()
    gateway.apply({
      certificates: new Map([[secretId("a"), { schema: 1, source: { kind: "Secret", namespace: "default", name: "a" }, names: [], empty: "NoSuchSecret" }]]),
      listeners: new Map([["l", secureListener("l", ["a"])]]),
    })
    await expect(handshake(gateway.port, { servername: "a.test" })).rejects.toMatchObject({ code: "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE" })
    await counted("no-certificate")
    expect(gateway.worker.notes.get("tls/l")?.message).toContain("secret/default/a (NoSuchSecret)")
    gateway.present("a", a)
    expect(await presented({ servername: "a.test" })).toBe(a.fingerprint256)
    expect(gateway.worker.notes.size).toBe(0)
  })
})

describe("on what terms", () => {
  test.each(["TLSv1.2", "TLSv1.3"] as const)("%s, with a cipher of Mozilla's intermediate list", async (version) => {
    await start()
    serve(["a", a])
    const socket = await handshake(gateway.port, { servername: "a.test", ca: authority.certificate, rejectUnauthorized: true, minVersion: version, maxVersion: version })
    expect(socket.getProtocol()).toBe(version)
    expect(socket.getCipher().standardName).toMatch(/^TLS_(?:ECDHE_ECDSA_WITH_)?AES_128_GCM_SHA256$/)
    await eventually("the handshake is counted", () => gateway.metrics.text([]).includes(`headgate_tls_handshakes_total{port="443",version="${version}",resumed="false"} 1`))
    socket.destroy()
  })

  test("a client that prefers ChaCha20 gets it", async () => {
    await start()
    serve(["a", a])
    const socket = await handshake(gateway.port, { servername: "a.test", ciphers: "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256" })
    expect(socket.getCipher().standardName).toBe("TLS_CHACHA20_POLY1305_SHA256")
    socket.destroy()
  })

  test("TLS 1.1 and ciphers without forward secrecy are refused", async () => {
    await start()
    serve(["a", a], ["rsa", rsa])
    expect(await openssl("-tls1_1", "-cipher", "ALL@SECLEVEL=0", "-servername", "a.test")).toMatch(/alert protocol version/)
    await counted("version")
    expect(await openssl("-tls1_2", "-cipher", "AES128-GCM-SHA256", "-servername", "a.test")).toMatch(/alert handshake failure/)
    await counted("cipher")
  })

  test("a client does not renegotiate", async () => {
    await start()
    serve(["a", a])
    const said = await run("openssl", ["s_client", "-connect", `127.0.0.1:${gateway.port}`, "-tls1_2"], "R\n")
    expect(said).toMatch(/RENEGOTIATING[^]*no renegotiation/)
  })

  test("HTTP/2 before HTTP/1.1 by ALPN, HTTP/1.1 for who offers nothing; who offers only others is told", async () => {
    await start()
    serve(["a", a])
    const protocolOf = async (ALPNProtocols?: string[]): Promise<string | false | null> => {
      const socket = await handshake(gateway.port, { servername: "a.test", ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }) })
      const { alpnProtocol } = socket
      socket.destroy()
      return alpnProtocol
    }
    expect(await protocolOf(["http/1.1", "h2"])).toBe("h2")
    expect(await protocolOf(["http/1.1"])).toBe("http/1.1")
    expect(await protocolOf()).toBe(false)
    await expect(protocolOf(["h3"])).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL" })
    await counted("protocol")
  })
})

describe("sessions", () => {
  /** Resumes `session`, or begins anew; the session of the new connection is told too. */
  const visit = async (options: tls.ConnectionOptions & { readonly session?: Buffer }): Promise<{ readonly isReused: boolean; readonly session: Buffer; readonly fingerprint: string | undefined }> => {
    const socket = tls.connect({ port: gateway.port, host: "127.0.0.1", rejectUnauthorized: false, ...options })
    const session = new Promise<Buffer>((resolve) => socket.once("session", resolve))
    await once(socket, "secureConnect")
    // TLS 1.3 sends tickets after the handshake.
    socket.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    await once(socket, "data")
    const isReused = socket.isSessionReused()
    // One that is resumed is not given a new ticket: its own is good still.
    const told = { isReused, session: isReused && options.session !== undefined ? options.session : await session, fingerprint: socket.getPeerCertificate().fingerprint256 }
    socket.destroy()
    return told
  }

  describe.each(["TLSv1.2", "TLSv1.3"] as const)("%s", (version) => {
    const terms = { minVersion: version, maxVersion: version }

    test("are resumed, also after the certificate was exchanged; who comes anew gets the new one", async () => {
      await start()
      serve(["a", a])
      const first = await visit({ servername: "a.test", ...terms })
      expect(first.isReused).toBe(false)
      const again = await visit({ servername: "a.test", session: first.session, ...terms })
      expect(again.isReused).toBe(true)
      gateway.present("a", renewed)
      expect((await visit({ servername: "a.test", session: again.session, ...terms })).isReused).toBe(true)
      expect(await visit({ servername: "a.test", ...terms })).toMatchObject({ isReused: false, fingerprint: renewed.fingerprint256 })
      expect(gateway.metrics.text([])).toContain(`headgate_tls_handshakes_total{port="443",version="${version}",resumed="true"} 2`)
    })

    test("are not resumed where another certificate is presented, on this listener or another", async () => {
      await start()
      gateway.present("a", a)
      gateway.present("b", b)
      gateway.apply({ listeners: new Map([["any", secureListener("any", ["a", "b"])], ["other", secureListener("other", ["b"], { hostname: "other.test" })]]), routes: new Map([["all", everything("any", "other")]]) })
      const { session } = await visit({ servername: "a.test", ...terms })
      expect(await visit({ servername: "b.test", session, ...terms })).toMatchObject({ isReused: false, fingerprint: b.fingerprint256 })
      expect(await visit({ servername: "other.test", session, ...terms })).toMatchObject({ isReused: false, fingerprint: b.fingerprint256 })
      expect(await visit({ servername: "a.test", session, ...terms })).toMatchObject({ isReused: true })
    })

    test("do not outlive their listener's certificate", async () => {
      await start()
      serve(["a", a])
      const { session } = await visit({ servername: "a.test", ...terms })
      gateway.apply({ certificates: new Map([[secretId("a"), { schema: 1, source: { kind: "Secret", namespace: "default", name: "a" }, names: [], empty: "NoSuchSecret" }]]) })
      await expect(handshake(gateway.port, { servername: "a.test", session, ...terms })).rejects.toThrow(/handshake failure/)
    })

    test("are not resumed once the ticket key was rotated, and new ones are", async () => {
      await start()
      serve(["a", a])
      const { session } = await visit({ servername: "a.test", ...terms })
      gateway.certificates.rotateTickets()
      const anew = await visit({ servername: "a.test", session, ...terms })
      expect(anew.isReused).toBe(false)
      expect((await visit({ servername: "a.test", session: anew.session, ...terms })).isReused).toBe(true)
      gateway.present("a", renewed)
      expect((await visit({ servername: "a.test", session: anew.session, ...terms })).isReused).toBe(true)
    })
  })
})

describe("requests", () => {
  test("say to the backend that they came over https, and to the log over what", async () => {
    const folder = mkdtempSync(join(tmpdir(), "headgate-tls-"))
    try {
      const log = join(folder, "access.log")
      await start({ accessLog: true }, openSync(log, "a"))
      serve(["a", a])
      expect(await curl("a.test", "--http1.1")).toBe("ok")
      expect([asked[0]?.field("x-forwarded-proto"), asked[0]?.field("x-forwarded-port"), asked[0]?.field("x-forwarded-for")]).toEqual(["https", "443", "127.0.0.1"])
      await eventually("the log has it", () => readFileSync(log, "utf8") !== "")
      expect(JSON.parse(readFileSync(log, "utf8"))).toMatchObject({ protocol: "HTTP/1.1", tls: "TLSv1.3", host: "a.test", status: 200 })
      expect(await curl("a.test", "--http2", "-w", " %{http_version}")).toBe("ok 2")
      expect([asked[1]?.field("x-forwarded-proto"), asked[1]?.field("x-forwarded-host")?.split(":")[0]]).toEqual(["https", "a.test"])
      const second = (): string => readFileSync(log, "utf8").split("\n")[1] ?? ""
      await eventually("the log has the second", () => second() !== "")
      expect(JSON.parse(second())).toMatchObject({ protocol: "HTTP/2", tls: "TLSv1.3", host: "a.test", status: 200 })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test("are redirected within https and its port", async () => {
    await start()
    serve(["a", a])
    gateway.apply({ routes: new Map([["all", route("all", [rule([match("/")], "c", { filters: [{ type: "redirect", path: { type: "full", value: "/new" }, status: 301 }] })], { attach: [{ listener: "l", hostnames: ["*"] }] })]]) })
    expect(await curl("a.test", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}")).toBe("301 https://a.test/new?y")
  })

  test("for a host of another listener than the connection's are 421; for a host of nobody 404", async () => {
    await start()
    gateway.present("a", a)
    gateway.present("b", b)
    gateway.apply({ listeners: new Map([["a", secureListener("a", ["a"], { hostname: "a.test" })], ["b", secureListener("b", ["b"], { hostname: "b.test" })]]), routes: new Map([["all", everything("a", "b")]]) })
    const status = (host: string): Promise<string> => curl("a.test", "-o", "/dev/null", "-w", "%{http_code}", "-H", `Host: ${host}`)
    expect([await status("a.test"), await status("b.test"), await status("c.test")]).toEqual(["200", "421", "404"])
  })

  test("in absolute form may name http too: they came over TLS", async () => {
    await start()
    serve(["a", a])
    const status = (target: string): Promise<string> => curl("a.test", "-o", "/dev/null", "-w", "%{http_code}", "--http1.1", "--request-target", target)
    expect([await status("https://a.test/"), await status("http://a.test/")]).toEqual(["200", "200"])
  })

  test("in clear on a connection from before the port became https are not answered by its routes", async () => {
    await start()
    gateway.apply({ listeners: new Map([["l", { ...secureListener("l", []), protocol: "HTTP" }]]), routes: new Map([["all", everything("l")]]) })
    const socket = net.connect({ port: gateway.port, host: "127.0.0.1" })
    const ask = async (): Promise<string> => {
      socket.write("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
      const [data]: unknown[] = await once(socket, "data")
      return String(data).slice(0, 12)
    }
    expect(await ask()).toBe("HTTP/1.1 200")
    gateway.present("a", a)
    gateway.apply({ listeners: new Map([["l", secureListener("l", ["a"])]]) })
    expect(await ask()).toBe("HTTP/1.1 421")
    await once(socket, "end")
    socket.destroy()
    expect(await presented({ servername: "a.test" })).toBe(a.fingerprint256)
  })
})

describe("what is no handshake", () => {
  /** Everything heard until the other side ends. */
  const say = async (octets: Buffer | string): Promise<string> => {
    const socket = net.connect({ port: gateway.port, host: "127.0.0.1" })
    let heard = ""
    socket.on("data", (data) => (heard += data.toString("latin1")))
    socket.write(octets)
    await once(socket, "end")
    socket.end()
    return heard
  }

  test("HTTP in clear is told so, and counted", async () => {
    await start()
    serve(["a", a])
    expect(await say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[^]*Connection: close\r\n\r\nthis port speaks TLS: use https\n$/)
    await counted("plain-http")
  })

  test("other protocols are closed; what only says it is TLS gets an alert", async () => {
    await start()
    serve(["a", a])
    expect(await say("\0\0\0\0hello")).toBe("")
    await counted("not-tls")
    expect(await say(Buffer.from([22, 3, 1, 0, 5, 2, 0, 0, 1, 0]))).toBe("\x15\x03\x03\0\x02\x02\x32")
    await counted("malformed")
  })

  test("a hello that does not go on, and a handshake that does not, are cut off after the time-out", async () => {
    await start({ headTimeout: 300 })
    serve(["a", a])
    const begun = net.connect({ port: gateway.port, host: "127.0.0.1" })
    begun.write(Buffer.from([22, 3, 1, 1, 0, 1, 0]))
    const silent = net.connect({ port: gateway.port, host: "127.0.0.1" })
    // Takes the server's flight and says nothing more.
    const half = net.connect({ port: gateway.port, host: "127.0.0.1" })
    const hello = tls.connect({ host: "127.0.0.1", port: await relayOnce(half) })
    hello.on("error", () => {})
    await Promise.all([begun, silent, half].map((socket) => once(socket, "close")))
    await counted("timeout", 3)
    hello.destroy()
    await eventually("nothing is left open", () => gateway.http.connections === 0)
  })

  /** A port whose first connection's first octets go to `to`, and nothing back. */
  const relayOnce = async (to: net.Socket): Promise<number> => {
    const server = net.createServer((socket) => {
      socket.once("data", (data) => to.write(data))
      socket.on("error", () => {})
      server.close()
    })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    to.on("error", () => {})
    to.resume()
    const address = server.address()
    return address === null || typeof address === "string" ? 0 : address.port
  }

  test("a client that goes away during its handshake is counted, one that only looked whether the port is open is not", async () => {
    await start()
    serve(["a", a])
    const look = net.connect({ port: gateway.port, host: "127.0.0.1" })
    await once(look, "connect")
    look.end()
    await once(look, "close")
    const half = net.connect({ port: gateway.port, host: "127.0.0.1" })
    const hello = tls.connect({ host: "127.0.0.1", port: await relayOnce(half) })
    hello.on("error", () => {})
    await once(half, "data")
    half.destroy()
    await counted("client-gone")
    hello.destroy()
    await eventually("nothing is left open", () => gateway.http.connections === 0)
  })

  test.each(["-tls1_2", "-tls1_3"])("a client that does not trust the certificate says so, and that is counted, %s", async (version) => {
    await start()
    serve(["a", a])
    expect(await openssl("-servername", "a.test", "-verify_return_error", "-verify", "1", version)).toMatch(/verify error/)
    await counted("refused-by-client")
  })

  test("a record that was tampered with ends the connection", async () => {
    await start({ headTimeout: 60_000 })
    serve(["a", a])
    // Between the two, so that the client does not end it when it is told.
    const onward = net.connect({ port: gateway.port, host: "127.0.0.1" })
    const between = net.createServer((socket) => socket.pipe(onward, { end: false }).pipe(socket)).listen(0, "127.0.0.1")
    await once(between, "listening")
    const address = between.address()
    const secure = await handshake(address === null || typeof address === "string" ? 0 : address.port, { servername: "a.test" })
    secure.on("error", () => {})
    await eventually("the gateway has its end of it", () => gateway.metrics.text([]).includes('version="TLSv1.3",resumed="false"} 1'))
    onward.unpipe()
    onward.resume()
    onward.write(Buffer.from([23, 3, 3, 0, 32, ...Array.from({ length: 32 }, () => 7)]))
    await once(onward, "end")
    await eventually("it is closed", () => gateway.http.connections === 0)
    onward.destroy()
    secure.destroy()
    between.close()
  })

  test("too many connections are turned away before they cost a handshake", async () => {
    await start({ maxConnections: 1 })
    serve(["a", a])
    const first = await handshake(gateway.port, { servername: "a.test" })
    await expect(handshake(gateway.port, { servername: "a.test" })).rejects.toThrow(/disconnected|ECONNRESET/)
    first.destroy()
  })
})

test("curl and openssl verify what they get", async () => {
  await start()
  serve(["a", a], ["rsa", rsa])
  expect(await curl("a.test")).toBe("ok")
  expect(await curl("a.test", "--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES256-GCM-SHA384")).toBe("ok")
  expect(await openssl("-servername", "a.test", "-CAfile", authority.certificateFile, "-verify_return_error", "-alpn", "h2,http/1.1")).toMatch(/ALPN protocol: h2[^]*Verify return code: 0 \(ok\)/)
})
