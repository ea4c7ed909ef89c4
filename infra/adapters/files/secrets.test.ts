/** Secrets through the adapter: what functions want is answered, and nothing of what is secret is said anywhere. */
import { hash } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Fiber } from "effect"
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import { canonical } from "../../../bus/canonical.ts"
import { header, isDeleted } from "../../../bus/envelope.ts"
import { CONTROL_PLANE, type Wanted } from "../../../bus/kinds/config.ts"
import { memoryStore, type MemoryStore } from "../../../bus/memory.ts"
import { Redacted } from "../../../bus/redacted.ts"
import { open, planeKey } from "../../../bus/seal.ts"
import { configSubject, parseSubject, resourceSubject } from "../../../bus/subject.ts"
import type { UnitWriter } from "../../../bus/unit/unit.ts"
import { openUnit } from "../../../bus/unit/writer.ts"
import { Authority, type Issued } from "../../../test/fixtures/authority.ts"
import { misplacedKeys, secretManifest } from "../../../test/fixtures/misplaced-keys.ts"
import { planeKeys } from "../wanted/plane-keys.ts"
import { filesAdapter } from "./adapter.ts"

let authority: Authority
let first: Issued
let second: Issued
let store: MemoryStore
let folder: string
let keys: string
let logged: string[]
let functions: UnitWriter
let adapters: (() => Promise<void>)[]

beforeAll(() => {
  authority = new Authority()
  first = authority.issue(["a.example"])
  second = authority.issue(["a.example"])
})
afterAll(() => authority.end())
beforeEach(async () => {
  store = memoryStore()
  folder = realpathSync(mkdtempSync(join(tmpdir(), "headgate-secrets-")))
  keys = join(folder, ".keys")
  mkdirSync(keys)
  writeFileSync(join(keys, "default.key"), "01".repeat(32))
  logged = []
  adapters = []
  functions = await openUnit(store.bus(), { unit: { plane: CONTROL_PLANE, fn: "certs" }, epoch: 1, writer: "test", version: "1", onSteppedDown: (_, message) => { throw new Error(message) } })
})
afterEach(async () => {
  for (const stop of adapters) await stop()
  await functions.stop()
  rmSync(folder, { recursive: true })
})

const start = async (): Promise<() => Promise<void>> => {
  const inSync = Promise.withResolvers<void>()
  const fiber = Effect.runFork(filesAdapter({
    connect: () => Promise.resolve(store.bus()), folders: [folder], controllerNames: "any", planeKeyOf: planeKeys(keys), holder: "test", forgetAfter: 1e12,
    log: (line) => {
      logged.push(JSON.stringify(line))
      if (line.message === "in sync") inSync.resolve()
    },
  }))
  const stop = (): Promise<void> => Effect.runPromise(Fiber.interrupt(fiber))
  adapters.push(stop)
  await inSync.promise
  return stop
}

const drop = (name: string, text: string): void => {
  writeFileSync(join(folder, ".tmp"), text)
  renameSync(join(folder, ".tmp"), join(folder, name))
}

const base64 = (text: string): string => Buffer.from(text).toString("base64")
const keyOf = (issued: Issued): string => readFileSync(issued.keyFile, "utf8")

const want = async (wanted: Readonly<Record<string, Omit<Wanted, "schema"> | null>>): Promise<void> => {
  functions.stage(Object.entries(wanted).map(([id, value]) => ({ subject: configSubject(CONTROL_PLANE, "wanted", `certs/${id}`), body: value === null ? null : canonical({ schema: 1, ...value }), causes: [] })), {})
  await functions.settled()
}
const TLS = { secret: { plane: "default", namespace: "shop", name: "tls" } }

interface Published {
  readonly seq: number
  readonly secret: { readonly tls?: { readonly chain: string; readonly keyDigest: string; readonly sealed: Readonly<Record<string, string>> }; readonly problem?: { readonly reason: string; readonly field: string; readonly message: string } } & Readonly<Record<string, unknown>>
}

const isSecret = (value: unknown): value is Published["secret"] => typeof value === "object" && value !== null && "keys" in value

/** The Secret as it is on the bus now. */
const published = (key = "shop/tls"): Published | undefined => {
  const message = store.messages("RESOURCES").findLast(({ subject }) => subject === resourceSubject("secret", key))
  if (message === undefined || isDeleted(message.headers)) return undefined
  const secret: unknown = JSON.parse(Buffer.from(message.data).toString())
  if (!isSecret(secret)) throw new Error("not a Secret")
  return { seq: message.seq, secret }
}

/** Resolves with the Secret as soon as it is as it should be. */
const until = (holds: (now: Published | undefined) => boolean): Promise<Published | undefined> =>
  new Promise((resolve) => {
    const following = store.bus().follow({
      stream: "RESOURCES", filter: "resource.>", from: "state",
      onMessage: () => {
        const now = published()
        if (!holds(now)) return
        resolve(now)
        queueMicrotask(() => void following.stop())
      },
    })
  })

const opened = (now: Published | undefined): Buffer => open(planeKey(new Redacted(Buffer.from("01".repeat(32), "hex"))), "default/shop/tls", now?.secret.tls?.sealed["default"] ?? "").reveal()
const problemOf = (now: Published | undefined): string | undefined => now?.secret.problem && `${now.secret.problem.reason} ${now.secret.problem.field}`

/** Ways in which a key may be written. */
const formsOf = (issued: Issued): readonly string[] => {
  const part = issued.key.subarray(40, 64)
  return [part.toString("latin1"), part.toString("hex"), ...keyOf(issued).split("\n").filter((line) => line.length > 20 && !line.startsWith("-")), base64(keyOf(issued)).slice(60, 100)]
}

test("the search for keys finds them", () => {
  const [der = "", hex = "", line = "", ...rest] = formsOf(first)
  expect(first.key.toString("latin1")).toContain(der)
  expect(first.key.toString("hex")).toContain(hex)
  expect(keyOf(first)).toContain(line)
  expect(rest.length).toBeGreaterThan(1)
  expect(secretManifest(first.chain, keyOf(first))).toContain(rest.at(-1))
})

/** Nothing that was ever on the bus or logged holds any of these keys. */
const nothingLeaked = (...issued: readonly Issued[]): void => {
  const said = [...store.messages("RESOURCES"), ...store.messages("CONFIG")].map(({ data, headers }) => JSON.stringify(headers) + Buffer.from(data).toString("latin1")).join("\n") + logged.join("\n")
  for (const form of issued.flatMap(formsOf)) expect(said).not.toContain(form)
}

test("names only, until a function wants the content; then the chain and the sealed key; and no longer when nobody wants it", async () => {
  drop("a.yaml", secretManifest(first.chain, keyOf(first), `stringData: {password: hunter2}\n`))
  await start()
  const before = published()
  expect(before?.secret).toEqual({ metadata: { name: "tls", namespace: "shop" }, type: "kubernetes.io/tls", keys: ["password", "tls.crt", "tls.key"] })
  await want({ "default/shop/tls": TLS })
  const wanted = await until((now) => now?.secret.tls !== undefined)
  expect(wanted?.secret.tls?.chain).toBe(first.chain)
  expect(opened(wanted)).toEqual(first.key)
  await want({ "default/shop/tls": null })
  expect((await until((now) => now?.secret.tls === undefined))?.secret).toEqual(before?.secret)
  nothingLeaked(first)
})

test("a restart publishes nothing anew, neither does the same content in other words", async () => {
  drop("a.yaml", secretManifest(first.chain, keyOf(first)))
  await want({ "default/shop/tls": TLS })
  const stop = await start()
  const wanted = await until((now) => now?.secret.tls !== undefined)
  await stop()
  const last = store.messages("RESOURCES").length
  await start()
  expect(store.messages("RESOURCES").length).toBe(last)
  drop("a.yaml", `# a comment\n${secretManifest(`of a.example\n${first.chain}\n\n`, keyOf(first))}`)
  drop("b.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: seen}\n")
  await until(() => published("default/seen") !== undefined)
  expect(published()?.seq).toBe(wanted?.seq)
})

test("what cannot be used keeps the last good content and says why, over a restart too; it heals, and goes with the Secret", async () => {
  drop("a.yaml", secretManifest(first.chain, keyOf(first)))
  await want({ "default/shop/tls": TLS })
  const stop = await start()
  await until((now) => now?.secret.tls !== undefined)
  drop("a.yaml", secretManifest(first.chain, keyOf(second)))
  const mismatch = await until((now) => now?.secret.problem !== undefined)
  expect(problemOf(mismatch)).toBe("KeyMismatch data.tls.key")
  expect(opened(mismatch)).toEqual(first.key)
  await stop()
  const restarted = await start()
  expect(published()?.seq).toBe(mismatch?.seq)
  // The adapter that held it is gone: so only what the bus holds can be kept.
  drop("a.yaml", secretManifest("rubbish", keyOf(second)))
  const rubbish = await until((now) => problemOf(now) === "InvalidCertificate data.tls.crt")
  expect(opened(rubbish)).toEqual(first.key)
  drop("a.yaml", secretManifest(second.chain, keyOf(second)))
  expect(opened(await until((now) => now?.secret.tls !== undefined && now.secret.problem === undefined))).toEqual(second.key)
  rmSync(join(folder, "a.yaml"))
  await until((now) => now === undefined)
  drop("a.yaml", secretManifest(second.chain, keyOf(first)))
  const anew = await until((now) => now !== undefined)
  expect([problemOf(anew), anew?.secret.tls]).toEqual(["KeyMismatch data.tls.key", undefined])
  await restarted()
  nothingLeaked(first, second)
})

test("a manifest that cannot be read leaves the Secret as it was; what is wanted then is refused with a reason", async () => {
  drop("a.yaml", secretManifest(first.chain, keyOf(first)))
  await start()
  drop("a.yaml", `${secretManifest(first.chain, keyOf(first))}  - [\n`)
  await until(() => store.messages("RESOURCES").some(({ subject }) => subject.startsWith("resource.note.")))
  await want({ "default/shop/tls": TLS })
  const now = await until((each) => each?.secret.problem !== undefined)
  expect([problemOf(now), now?.secret.tls]).toEqual(["Unreadable ", undefined])
  drop("a.yaml", secretManifest(first.chain, keyOf(first)))
  expect(opened(await until((each) => each?.secret.tls !== undefined))).toEqual(first.key)
  nothingLeaked(first)
})

test("without the data plane's key the content stays here; with it, it is published without a restart", async () => {
  rmSync(join(keys, "default.key"))
  drop("a.yaml", secretManifest(first.chain, keyOf(first)))
  await want({ "default/shop/tls": TLS })
  await start()
  const keyless = await until((now) => now?.secret.problem !== undefined)
  expect([problemOf(keyless), keyless?.secret.tls]).toEqual(["NoPlaneKey ", undefined])
  writeFileSync(join(keys, "default.key"), "01".repeat(32))
  expect(opened(await until((now) => now?.secret.tls !== undefined && now.secret.problem === undefined))).toEqual(first.key)
  nothingLeaked(first)
})

test("moments that have come are said, and gone when nobody wants them", async () => {
  const [past, older, future] = ["2020-01-01T00:00:00Z", "2019-01-01T00:00:00Z", "2999-01-01T00:00:00Z"]
  await want({ a: { moment: older }, b: { moment: past }, c: { moment: future } })
  const stop = await start()
  const clocks = (): readonly string[] => [...new Set(store.messages("RESOURCES").map(({ subject }) => subject))].flatMap((subject) => {
    const parsed = parseSubject(subject)
    const last = store.messages("RESOURCES").findLast((message) => message.subject === subject)
    return parsed?.is === "resource" && parsed.kind === "clock" && last !== undefined && !isDeleted(last.headers) ? [parsed.key] : []
  })
  expect(clocks()).toEqual([`/${past}`, `/${older}`])
  await want({ a: null })
  await until(() => clocks().length === 1)
  expect(clocks()).toEqual([`/${past}`])
  await stop()
  const last = store.messages("RESOURCES").length
  await start()
  expect(store.messages("RESOURCES").length).toBe(last)
})

test.each(misplacedKeys)("with %s nothing of the key is said", async (_what, text) => {
  drop("a.yaml", text(first.chain, keyOf(first)))
  await want({ "default/shop/tls": TLS })
  await start()
  const said = store.messages("RESOURCES")
  expect(said.some(({ subject }) => subject.startsWith("resource.note.") || subject.startsWith("resource.secret."))).toBe(true)
  nothingLeaked(first)
  // The hash of a text tells who guesses it right.
  const version = hash("sha256", text(first.chain, keyOf(first)), "base64url").slice(0, 22)
  for (const { headers } of said) expect(headers[header.version] ?? "").not.toBe(version)
})
