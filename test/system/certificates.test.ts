/**
 * From a Secret in a file to what a client is shown; and what a user can do wrong on the way: it is named with its file
 * and line, the last good certificate stays as long as the Secret does, and mending the file heals it, in the same
 * processes.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Authority, type Issued } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend, type Backend } from "./backend.ts"
import { newWorld, type Running } from "./headgate.ts"
import { drop, gatewayClass, route, service, take, yaml } from "./manifests.ts"
import { notesOf, type Note } from "./notes.ts"
import { askSecurely, grant, httpsGateway, keyOf, presented, secret } from "./secrets.ts"
import { until } from "./until.ts"

const HOST = "shop.example"
const world = newWorld("certificates")
let authority: Authority
let intermediate: Authority
let backend: Backend
let running: Running
let pids: readonly number[]
let port = 0
let otherPort = 0

const processes = (): readonly number[] => (["nats", "adapter", "functions", "gateway"] as const).map((part) => running.pid(part))

beforeAll(async () => {
  authority = new Authority()
  intermediate = new Authority(authority)
  ;[port = 0, otherPort = 0] = await freePorts(2)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), httpsGateway("edge", [{ name: "https", port, hostname: HOST, secrets: [{ name: "tls" }] }])))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  drop(world.manifests, "route.yaml", yaml(route("shop", { gateway: "edge", backend: "a" })))
  serve(authority.issue([HOST]))
  running = await world.up()
  pids = processes()
})

afterAll(async () => {
  await world.end()
  await backend.stop()
  authority.end()
  intermediate.end()
})

const write = (crt: string, key: string): void => void drop(world.manifests, "secret.yaml", yaml(secret("tls", crt, key)))
const serve = (issued: Issued): void => write(issued.chain, keyOf(issued))
const shown = () => presented(port, HOST, authority.certificate)

const isShown = (issued: Issued) => until(`${issued.fingerprint256} is presented`, async () => (await shown()).fingerprint256 === issued.fingerprint256)

/** A new certificate, in the file and with every client, and nothing to say about it. */
const wellServed = async (): Promise<Issued> => {
  const issued = authority.issue([HOST])
  serve(issued)
  await isShown(issued)
  await until("there is nothing to say", async () => {
    const notes = await notesOf(world)
    if (notes.length > 0) throw new Error(JSON.stringify(notes))
    return true
  })
  return issued
}

/** Several may say one thing, each about its own object: `kind` names whose is meant. */
const noteOf = (reason: string, kind?: string): Promise<Note> =>
  until(`a note ${reason}`, async () => (await notesOf(world)).find((note) => note.reason === reason && (kind === undefined || note.about?.kind === kind)))

const openssl = (...args: readonly string[]): string => execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
const DAY = 86_400_000
const fromNow = (days: number): Date => new Date(Date.now() + days * DAY)

test("a client that trusts the authority is answered over TLS", async () => {
  await wellServed()
  expect(await askSecurely(port, HOST, authority.certificate)).toBe(200)
  expect((await shown()).distrust).toBeUndefined()
})

describe("what cannot be presented leaves the last good certificate in place", () => {
  const rubbish = "this is not base64 ".repeat(900)
  const withRubbish = (pem: string): string => pem.replace("\n", `\n${rubbish}\n`)
  const cases: readonly (readonly [string, string, string, () => readonly [crt: string, key: string]])[] = [
    ["a key of another certificate", "KeyMismatch", "data.tls.key", () => [authority.issue([HOST]).chain, keyOf(authority.issue([HOST]))]],
    ["16 KB of rubbish in the certificate", "InvalidCertificate", "data.tls.crt", () => {
      const issued = authority.issue([HOST])
      return [withRubbish(issued.chain), keyOf(issued)]
    }],
    ["16 KB of rubbish in the key", "InvalidKey", "data.tls.key", () => {
      const issued = authority.issue([HOST])
      return [issued.chain, withRubbish(keyOf(issued))]
    }],
    ["an encrypted key", "EncryptedKey", "data.tls.key", () => {
      const issued = authority.issue([HOST])
      return [issued.chain, openssl("pkey", "-aes256", "-passout", "pass:secret", "-in", issued.keyFile)]
    }],
    ["no key", "MissingData", "data.tls.key", () => [authority.issue([HOST]).chain, ""]],
  ]
  test.each(cases)("%s", async (_what, reason, field, make) => {
    const good = await wellServed()
    write(...make())
    const note = await noteOf(reason)
    expect(note).toMatchObject({ severity: "error", about: { kind: "Secret", namespace: "default", name: "tls" }, field, file: "secret.yaml" })
    expect(note.line).toBe(field === "data.tls.crt" ? 8 : 9)
    expect(note.message).toMatch(/ The last good certificate stays in use\.$/)
    await isShown(good)
    expect(await askSecurely(port, HOST, authority.certificate)).toBe(200)
    await wellServed()
  })

  test("a manifest that is no YAML", async () => {
    const good = await wellServed()
    drop(world.manifests, "secret.yaml", `${yaml(secret("tls", good.chain, keyOf(good)))}  x: [\n`)
    expect(await noteOf("InvalidYaml")).toMatchObject({ severity: "error", file: "secret.yaml", line: 10 })
    await isShown(good)
    await wellServed()
  })

  test("text around the blocks is no rubbish", async () => {
    await wellServed()
    const issued = authority.issue([HOST])
    write(`${rubbish}\n${issued.chain}${rubbish}`, `${rubbish}\n${keyOf(issued)}`)
    await isShown(issued)
    expect(await notesOf(world)).toEqual([])
  })
})

describe("what clients judge is presented all the same", () => {
  test.each([
    ["expired", "Expired", "error", -30, -1, "CERT_HAS_EXPIRED"],
    ["not yet valid", "NotYetValid", "error", 1, 30, "CERT_NOT_YET_VALID"],
    ["valid for another week", "ExpiresSoon", "warning", -30, 7, undefined],
  ] as const)("a certificate that is %s", async (_what, reason, severity, from, to, distrust) => {
    await wellServed()
    const issued = authority.redate(authority.issue([HOST]), fromNow(from), fromNow(to))
    serve(issued)
    expect(await noteOf(reason)).toMatchObject({ severity, about: { kind: "Secret", name: "tls" }, file: "secret.yaml", line: 8, field: "data.tls.crt" })
    await isShown(issued)
    expect((await shown()).distrust).toBe(distrust)
    await wellServed()
  })

  test("a certificate that expires while it is served", async () => {
    await wellServed()
    const issued = authority.redate(authority.issue([HOST]), fromNow(-30), new Date(Date.now() + 6_000))
    serve(issued)
    await noteOf("ExpiresSoon")
    await isShown(issued)
    await noteOf("Expired")
    expect((await notesOf(world)).map(({ reason }) => reason)).toEqual(["Expired"])
    await wellServed()
  })

  test("a chain in the wrong order is put in order; what is no part of it is left out", async () => {
    await wellServed()
    const issued = intermediate.issue([HOST])
    const stranger = authority.issue(["else.example"])
    write(authority.certificate + stranger.chain + readFileSync(intermediate.certificateFile, "utf8") + issued.chain, keyOf(issued))
    expect(await noteOf("ChainOrder")).toMatchObject({ severity: "warning", file: "secret.yaml", line: 8 })
    expect(await noteOf("StrayCertificate")).toMatchObject({ severity: "warning" })
    await isShown(issued)
    expect(await shown()).toMatchObject({ chain: [HOST, "Headgate test intermediate", "Headgate test authority"], distrust: undefined })
    expect(await askSecurely(port, HOST, authority.certificate)).toBe(200)
    await wellServed()
  })

  test("a certificate for other names", async () => {
    await wellServed()
    const issued = authority.issue(["elsewhere.example"])
    serve(issued)
    expect(await noteOf("HostnameNotCovered")).toMatchObject({ severity: "warning", about: { kind: "Gateway", name: "edge" }, file: "gateway.yaml", field: "spec.listeners[0].hostname" })
    await isShown(issued)
    await wellServed()
  })
})

describe("what may not be presented is not", () => {
  const isRefused = (at: number) => until("the handshake is refused", () => presented(at, HOST, authority.certificate).then(() => false, () => true))

  test("a Secret that is deleted under a live listener, though its certificate was good", async () => {
    await wellServed()
    take(world.manifests, "secret.yaml")
    expect(await noteOf("InvalidCertificateRef", "Gateway")).toMatchObject({ severity: "error", about: { kind: "Gateway", name: "edge" }, file: "gateway.yaml", field: "spec.listeners[0].tls.certificateRefs[0].name" })
    await isRefused(port)
    // Made anew with what cannot be used, it has no last good certificate.
    write(authority.issue([HOST]).chain, keyOf(authority.issue([HOST])))
    expect((await noteOf("KeyMismatch")).message).toMatch(/ Nothing can be presented of it\.$/)
    await isRefused(port)
    await wellServed()
  })

  test("a Secret of another namespace, unless a ReferenceGrant there permits it", async () => {
    await wellServed()
    const issued = authority.issue([HOST])
    drop(world.manifests, "other.yaml", yaml(httpsGateway("other", [{ name: "https", port: otherPort, secrets: [{ name: "tls", namespace: "certs" }] }]), secret("tls", issued.chain, keyOf(issued), "certs")))
    const note = await noteOf("RefNotPermitted")
    expect(note).toMatchObject({ severity: "error", about: { kind: "Gateway", name: "other" }, file: "other.yaml", field: "spec.listeners[0].tls.certificateRefs[0].namespace" })
    await isRefused(otherPort)
    const { stdout } = await world.cli(["get", "secrets", "tls", "-n", "certs", "-o", "json"])
    expect(stdout).not.toContain("sealed")
    drop(world.manifests, "grant.yaml", yaml(grant("certs", "default")))
    await until("it is presented", async () => (await presented(otherPort, HOST, authority.certificate)).fingerprint256 === issued.fingerprint256)
    await until("nothing is refused any more", async () => (await notesOf(world)).every(({ reason }) => reason !== "RefNotPermitted"))
    take(world.manifests, "grant.yaml")
    await noteOf("RefNotPermitted")
    await isRefused(otherPort)
    await until("what nobody may refer to is not published", async () => !(await world.cli(["get", "secrets", "tls", "-n", "certs", "-o", "json"])).stdout.includes("sealed"))
    take(world.manifests, "other.yaml")
    await wellServed()
  })
})

test("all of this in the same processes", () => expect(processes()).toEqual(pids))
