/** A marked private key is served with, and is nowhere: not on the bus, on disk, in a log, nor in what any command says. */
import { createPrivateKey } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Authority, type Issued } from "../fixtures/authority.ts"
import { misplacedKeys } from "../fixtures/misplaced-keys.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend, type Backend } from "./backend.ts"
import { newWorld, type Running } from "./headgate.ts"
import { drop, gatewayClass, route, service, yaml } from "./manifests.ts"
import { notesOf } from "./notes.ts"
import { filesBelow, foundIn, needlesOf, type Needle } from "./search.ts"
import { httpsGateway, keyOf, presented, secret } from "./secrets.ts"
import { until } from "./until.ts"

const HOST = "shop.example"
const world = newWorld("secrets")
let authority: Authority
let marked: Issued
let backend: Backend
let running: Running
let needles: readonly Needle[]
let port = 0

beforeAll(async () => {
  authority = new Authority()
  marked = authority.issue([HOST], "rsa")
  needles = needlesOf(partsOf(marked), { "PKCS#8": keyOf(marked), "PKCS#1": traditional(marked) })
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), httpsGateway("edge", [{ name: "https", port, hostname: HOST, secrets: [{ name: "tls" }] }])))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }]), route("shop", { gateway: "edge", backend: "a" })))
  drop(world.manifests, "secret.yaml", yaml(secret("tls", marked.chain, keyOf(marked))))
  process.env["HEADGATE_TRACES"] = "on"
  running = await world.up()
  delete process.env["HEADGATE_TRACES"]
  await until("the certificate is presented", async () => (await presented(port, HOST, authority.certificate)).fingerprint256 === marked.fingerprint256)
})

afterAll(async () => {
  await world.end()
  await backend.stop()
  authority.end()
})

const traditional = (issued: Issued): string => createPrivateKey(keyOf(issued)).export({ format: "pem", type: "pkcs1" }).toString()

/** 32 octets each, of what only the owner of the key knows. */
const partsOf = (issued: Issued): Readonly<Record<string, Buffer>> => {
  const jwk = createPrivateKey(keyOf(issued)).export({ format: "jwk" })
  return Object.fromEntries((["d", "p", "q", "dp", "dq", "qi"] as const).map((name) => [name, Buffer.from(jwk[name] ?? "", "base64url").subarray(8, 40)]))
}

/** Of the gateway of now: one that was started again has another port where somebody has taken its own meanwhile. */
const admin = (): string => running.output().match(/(?<=admin port \d+ is taken: using )\d+/g)?.at(-1)?.replace(/^/, "http://127.0.0.1:") ?? running.ready.admin

/** Everything that is on disk now, what the gateway's admin port says, and what `up` has written. */
const leftBehind = async (): Promise<readonly (readonly [where: string, content: Buffer | string])[]> => {
  const said = await Promise.all(["/config", "/metrics", "/readyz"].map(async (path) => [path, await (await fetch(`${admin()}${path}`)).text()] as const))
  return [...filesBelow(world.data), ...said, ["output of up", running.output()]]
}

const expectNothingIn = (all: readonly (readonly [where: string, content: Buffer | string])[]): void => {
  expect(all.flatMap(([where, content]) => foundIn(needles, content).map((what) => `${what} in ${where}`))).toEqual([])
}

const KINDS = ["wanted", "listeners", "gateways", "pods", "status", "notes"]

/** By subcommand; each is run as it is here. */
const commands: Readonly<Record<string, readonly (readonly string[])[]>> = {
  get: [[], ...["table", "wide", "json", "yaml"].map((output) => ["secrets", "-o", output]), ...["wide", "yaml"].map((output) => ["certificates", "-o", output]), ...KINDS.map((kind) => [kind, "-o", "json"])],
  describe: [["secret", "tls"], ["gateway", "edge"], ["secret/tls"]],
  events: [[]],
  at: [["now"], ["now", "secrets", "-o", "json"], ["now", "secret", "tls"], ["now", "certificates", "-o", "yaml"]],
  history: [["secret/tls"], ["secret", "tls", "-o", "json"], ["certificate", "secret/default/tls", "-o", "json"], ["certificate", "secret/default/tls"]],
  diff: [["1", "now"], ["1", "now", "-o", "json"], ["1", "now", "secret/tls"]],
  explain: [["secret/tls"], ["secret/tls", "-o", "json"], ["certificate", "secret/default/tls"], ["gateway/edge"], ["GET", `https://${HOST}:${port}/`]],
  wait: [["secret/tls", "--timeout", "5s"], ["--timeout", "5s"]],
  trace: [[], ["secret/tls"], ["secret/tls", "-o", "json"]],
  validate: [["."], [".", "--json"]],
  install: [["--dry-run"]],
}
/** The first runs everything else; the other asks a cluster, and neither bus nor files. */
const NOT_ASKED = ["up", "uninstall"]

test("the search finds the key where it is: in the manifest, and in every form", () => {
  const manifest = readFileSync(join(world.manifests, "secret.yaml"))
  expect(foundIn(needles, manifest).filter((what) => what.startsWith("PKCS#8")).length).toBeGreaterThan(20)
  expect(foundIn(needles, keyOf(marked)).length).toBeGreaterThan(20)
  expect(foundIn(needles, traditional(marked)).filter((what) => what.startsWith("PKCS#1")).length).toBeGreaterThan(20)
  for (const text of [marked.key, ...(["hex", "base64", "base64url"] as const).map((encoding) => marked.key.toString(encoding))]) {
    expect(foundIn(needles, text)).toEqual(expect.arrayContaining(["d", "p", "q", "dp", "dq", "qi"]))
  }
})

test("it is on no disk, in no log and not in what the gateway shows; the public chain is", async () => {
  const line = marked.chain.split("\n")[1] ?? ""
  const holding = async (): Promise<readonly string[]> => (await leftBehind()).filter(([, content]) => content.includes(line)).map(([where]) => where)
  // So the store is one that can be searched, and what is sealed has arrived.
  await until("the chain is in the store, in the snapshot and shown", async () => {
    const places = await holding()
    return places.some((where) => where.includes("/nats/")) && places.some((where) => where.endsWith(".snapshot")) && places.includes("/config")
  })
  expectNothingIn(await leftBehind())
})

test("no command says it", async () => {
  const { stdout: help } = await world.cli(["--help"])
  const names = [...help.slice(help.indexOf("SUBCOMMANDS")).matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name = ""]) => name)
  expect(names.length).toBeGreaterThan(5)
  expect(names.filter((name) => !NOT_ASKED.includes(name) && commands[name] === undefined)).toEqual([])
  await expectSilence(names.flatMap((name) => (commands[name] ?? []).map((args) => [name, ...args])))
}, 300_000)

const expectSilence = async (lines: readonly (readonly string[])[]): Promise<void> => {
  for (const line of lines) {
    const { stdout, stderr } = await world.cli(line.map((arg) => (arg === "." ? world.manifests : arg)))
    expect(stdout + stderr, line.join(" ")).not.toBe("")
    expectNothingIn([[line.join(" "), stdout + stderr]])
  }
}

test("nor after every way of writing it where it does not belong", async () => {
  const files = misplacedKeys.map(([, manifest], i) => {
    const name = `bad-${i}.yaml`
    drop(world.manifests, name, manifest(marked.chain, keyOf(marked)))
    return name
  })
  const other = authority.issue([HOST])
  drop(world.manifests, "secret.yaml", yaml(secret("tls", other.chain, keyOf(marked))))
  await until("each has been taken up", async () => {
    const notes = await notesOf(world)
    const silent = [...files, "secret.yaml"].filter((file) => !notes.some((note) => note.file === file))
    if (silent.length > 1) throw new Error(`nothing is said of ${silent.join(", ")}`)
    // Of several that ask for one name, one stands, and nothing is wrong with it.
    return (await world.cli(["get", "secret", "tls", "-n", "shop"])).code === 0
  }, 20_000)
  expectNothingIn(await leftBehind())
  await expectSilence([["get", "-o", "wide"], ["get", "notes", "-o", "json"], ["get", "secrets", "-o", "json"], ["describe", "secret", "tls"], ["events"], ["validate", "."], ["validate", ".", "--json"]])
}, 300_000)

test("nor after restarts of those that read it", async () => {
  for (const part of ["adapter", "functions", "gateway"] as const) await running.kill(part)
  await until("the certificate is presented", async () => (await presented(port, HOST, authority.certificate)).fingerprint256 === marked.fingerprint256)
  await until("the gateway's admin port answers", () => fetch(`${admin()}/readyz`).then(({ ok }) => ok, () => false))
  expectNothingIn(await leftBehind())
})
