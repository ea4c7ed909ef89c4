/** The adapter against the memory bus and real folders. */
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, Fiber, Schema } from "effect"
import { afterEach, beforeEach, expect, test } from "vitest"
import { header, isDeleted } from "../../../bus/envelope.ts"
import { resourceApis } from "../../../bus/kinds/all.ts"
import { Note } from "../../../bus/kinds/config.ts"
import { memoryStore, type MemoryStore } from "../../../bus/memory.ts"
import { parseSubject, resourceSubject } from "../../../bus/subject.ts"
import { planeKeys } from "../wanted/plane-keys.ts"
import { filesAdapter } from "./adapter.ts"

let store: MemoryStore
let folder: string
let stops: (() => Promise<void>)[]

beforeEach(() => {
  store = memoryStore()
  folder = realpathSync(mkdtempSync(join(tmpdir(), "headgate-files-")))
  stops = []
})
afterEach(async () => {
  for (const stop of stops) await stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Starts an adapter; resolves when it is in sync. Returns how to stop it. */
const start = async ({ holder = "test", folders = [folder], wait = true } = {}): Promise<() => Promise<void>> => {
  const inSync = Promise.withResolvers<void>()
  const fiber = Effect.runFork(
    filesAdapter({
      connect: () => Promise.resolve(store.bus()),
      folders,
      controllerNames: new Set(["headgate.dev/gateway"]),
      planeKeyOf: planeKeys(undefined),
      holder,
      forgetAfter: 1e12,
      log: ({ message }) => {
        if (message === "in sync") inSync.resolve()
      },
    }),
  )
  const stop = (): Promise<void> => Effect.runPromise(Fiber.interrupt(fiber))
  stops.push(stop)
  if (wait) await inSync.promise
  return stop
}

interface Seen {
  readonly seq: number
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
}

/** What RESOURCES holds now: `<kind>/<namespace>/<name>` → last message; deleted ones left out. */
const state = (): Map<string, Seen> => {
  const now = new Map<string, Seen>()
  for (const { subject, seq, headers, data } of store.messages("RESOURCES")) {
    const parsed = parseSubject(subject)
    if (parsed?.is !== "resource") throw new Error(subject)
    const id = `${parsed.kind}/${parsed.key}`
    if (isDeleted(headers)) now.delete(id)
    else now.set(id, { seq, headers, body: JSON.parse(Buffer.from(data).toString()) })
  }
  return now
}

/** Resolves as soon as the stream's state satisfies it. */
const until = (holds: (now: Map<string, Seen>) => boolean): Promise<void> =>
  new Promise((resolve) => {
    const following = store.bus().follow({
      stream: "RESOURCES", filter: "resource.>", from: "state",
      onMessage: () => {
        if (!holds(state())) return
        resolve()
        queueMicrotask(() => void following.stop())
      },
    })
  })

const has = (id: string) => until((now) => now.has(id))
const hasNot = (id: string) => until((now) => !now.has(id))
const notes = (): string[] => [...state()].filter(([id]) => id.startsWith("note/")).map(([, { body }]) => {
  const note = Schema.decodeUnknownSync(Note)(body)
  return `${note.file}:${note.line ?? ""} ${note.reason}${note.field === undefined ? "" : ` ${note.field}`}`
}).sort()
const objects = (): string[] => [...state().keys()].filter((id) => !/^(note|sync|namespace)\//.test(id)).sort()

const write = (name: string, text: string): void => {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, name), text)
}
/** As editors and deploy scripts do: whole, at once. */
const drop = (name: string, text: string): void => {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, ".tmp"), text)
  renameSync(join(folder, ".tmp"), join(folder, name))
}

const route = (name: string, path = "/", namespace?: string): string => `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: ${name}${namespace === undefined ? "" : `\n  namespace: ${namespace}`}
spec:
  parentRefs:
    - name: web
  rules:
    - matches:
        - path:
            type: PathPrefix
            value: ${path}
`

test("objects of every file, document, List and sub-folder are published with their envelope", async () => {
  write("a.yaml", `${route("one")}---\n${route("two", "/two", "shop")}`)
  write("sub/deep/b.yml", `apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Service\n    metadata: {name: s}\n    spec: {ports: [{port: 80}]}\n`)
  write("c.json", JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name: "team", labels: { a: "b" } } }))
  write("ignored.txt", "kind: [")
  await start()
  expect(objects()).toEqual(["httproute/default/one", "httproute/shop/two", "service/default/s"])
  const one = state().get("httproute/default/one")
  expect(one?.headers).toMatchObject({ [header.kind]: "httproute", [header.key]: "default/one", [header.generation]: "1", [header.writer]: "adapter.files", "Hg-Source": "a.yaml" })
  expect(one?.body).toMatchObject({ metadata: { name: "one", namespace: "default" }, spec: { rules: [{ matches: [{ path: { value: "/" } }] }] } })
  expect(notes()).toEqual([])
})

test("namespaces that are used and not declared exist, with the label selectors ask for, as long as they are used", async () => {
  write("a.yaml", `${route("one", "/", "shop")}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: team, labels: {a: b}}\n`)
  await start()
  expect(state().get("namespace//shop")?.body).toEqual({ metadata: { name: "shop", namespace: "", labels: { "kubernetes.io/metadata.name": "shop" } } })
  expect(state().get("namespace//team")?.body).toMatchObject({ metadata: { labels: { a: "b", "kubernetes.io/metadata.name": "team" } } })
  drop("a.yaml", route("one"))
  await hasNot("namespace//shop")
  expect(state().has("namespace//default")).toBe(true)
})

test("every kind is marked as synced, also those nobody uses, after everything else", async () => {
  write("a.yaml", route("one"))
  await start()
  const marks = [...state()].filter(([id]) => id.startsWith("sync/"))
  expect(marks.map(([id]) => id).sort()).toEqual(["clock", "installation", ...resourceApis.map(({ kind }) => kind.name)].map((name) => `sync//${name}`).sort())
  const rest = [...state()].filter(([id]) => !id.startsWith("sync/")).map(([, { seq }]) => seq)
  expect(Math.min(...marks.map(([, { seq }]) => seq))).toBeGreaterThan(Math.max(...rest))
})

test("a restart with nothing changed publishes nothing; with changes, only those, deletions included", async () => {
  write("a.yaml", route("one"))
  write("b.yaml", `${route("two")}---\nkind: [\n`)
  write("c.yaml", route("three"))
  const stop = await start()
  await stop()
  const before = store.messages("RESOURCES").length
  const again = await start()
  expect(store.messages("RESOURCES").length).toBe(before)
  await again()
  rmSync(join(folder, "a.yaml"))
  write("c.yaml", route("three", "/changed"))
  await start()
  const news = store.messages("RESOURCES").slice(before)
  expect(news.map(({ subject, headers }) => [subject, isDeleted(headers), headers[header.generation]]).sort()).toEqual([
    [resourceSubject("httproute", "default/one"), true, "1"],
    [resourceSubject("httproute", "default/three"), false, "2"],
  ])
})

test("a dropped file, an edit, a new sub-folder and a removal follow at once, each alone", async () => {
  await start()
  drop("a.yaml", route("one"))
  await has("httproute/default/one")
  const before = store.messages("RESOURCES").length
  drop("a.yaml", `${route("one")}---\n${route("two")}`)
  await has("httproute/default/two")
  expect(store.messages("RESOURCES").length).toBe(before + 1)
  drop("new/folder/b.yaml", route("three"))
  await has("httproute/default/three")
  rmSync(join(folder, "new"), { recursive: true })
  await hasNot("httproute/default/three")
  expect(objects()).toEqual(["httproute/default/one", "httproute/default/two"])
})

test("a renamed file republishes what is in it with its new name and nothing else; a restart then publishes nothing", async () => {
  write("b.yaml", route("one"))
  const stop = await start()
  const before = store.messages("RESOURCES").length
  const one = resourceSubject("httproute", "default/one")
  const [was] = store.messages("RESOURCES").filter(({ subject }) => subject === one)
  renameSync(join(folder, "b.yaml"), join(folder, "a.yaml"))
  await until(() => store.messages("RESOURCES").length > before)
  drop("z.yaml", route("last"))
  await has("httproute/default/last")
  rmSync(join(folder, "z.yaml"))
  await hasNot("httproute/default/last")
  const [moved, ...rest] = store.messages("RESOURCES").slice(before)
  expect(rest.map(({ subject }) => subject)).toEqual([resourceSubject("httproute", "default/last"), resourceSubject("httproute", "default/last")])
  expect([moved?.subject, moved?.data, moved?.headers[header.generation], moved?.headers[header.source]]).toEqual([one, was?.data, "1", "a.yaml"])
  await stop()
  const after = store.messages("RESOURCES").length
  await start()
  expect(store.messages("RESOURCES").length).toBe(after)
})

test("a file written in steps deletes nothing on the way", async () => {
  const whole = Array.from({ length: 200 }, (_, i) => route(`r${i}`)).join("---\n")
  write("a.yaml", whole)
  await start()
  const before = store.messages("RESOURCES").length
  for (const part of [0, 0.3, 0.6, 0.9]) writeFileSync(join(folder, "a.yaml"), whole.slice(0, whole.length * part))
  writeFileSync(join(folder, "a.yaml"), whole.replace("name: r7\n", "name: changed\n"))
  await has("httproute/default/changed")
  const touched = store.messages("RESOURCES").slice(before).map(({ subject }) => subject)
  expect(new Set(touched)).toEqual(new Set([resourceSubject("httproute", "default/changed"), resourceSubject("httproute", "default/r7")]))
})

test("broken YAML keeps what was there, says where, leaves the other documents alone, and heals", async () => {
  write("a.yaml", `${route("one")}---\n${route("two")}`)
  await start()
  drop("a.yaml", `${route("one", "/new")}---\n${route("two").replace("  name: two", "\tname: two")}`)
  await until((now) => [...now.keys()].some((id) => id.startsWith("note/")))
  expect(objects()).toEqual(["httproute/default/one", "httproute/default/two"])
  expect(state().get("httproute/default/one")?.headers[header.generation]).toBe("2")
  expect(notes()).toEqual(["a.yaml:17 InvalidYaml"])
  drop("a.yaml", route("one", "/new"))
  await hasNot("httproute/default/two")
  expect(notes()).toEqual([])
})

test("a broken file keeps what was there over a restart too", async () => {
  write("a.yaml", `${route("one")}---\n${route("two")}`)
  await (await start())()
  write("a.yaml", `${route("one")}---\nkind: [\n`)
  await start()
  expect(objects()).toEqual(["httproute/default/one", "httproute/default/two"])
  drop("a.yaml", route("one"))
  await hasNot("httproute/default/two")
})

test("an invalid object keeps its last good version and names field, line and fix", async () => {
  write("a.yaml", route("one"))
  await start()
  drop("a.yaml", route("one").replace("value: /", "value: no-slash"))
  await until((now) => [...now.keys()].some((id) => id.startsWith("note/")))
  expect(notes()).toEqual(["a.yaml:12 InvalidValue spec.rules[0].matches[0].path.value"])
  expect(state().get("httproute/default/one")?.body).toMatchObject({ spec: { rules: [{ matches: [{ path: { value: "/" } }] }] } })
  drop("a.yaml", route("one", "/mended"))
  await until((now) => ![...now.keys()].some((id) => id.startsWith("note/")))
  expect(state().get("httproute/default/one")?.body).toMatchObject({ spec: { rules: [{ matches: [{ path: { value: "/mended" } }] }] } })
})

test("of two objects with one name the first file in byte order stands, and mending heals", async () => {
  write("b.yaml", route("one", "/b"))
  write("a.yaml", `# first\n---\n${route("one", "/a")}`)
  await start()
  expect(state().get("httproute/default/one")?.body).toMatchObject({ spec: { rules: [{ matches: [{ path: { value: "/a" } }] }] } })
  expect(notes()).toEqual(["b.yaml:4 DuplicateName metadata.name"])
  rmSync(join(folder, "a.yaml"))
  await until((now) => JSON.stringify(now.get("httproute/default/one")?.body).includes("/b"))
  await until((now) => ![...now.keys()].some((id) => id.startsWith("note/")))
})

test("unknown kinds, foreign classes, oversized objects, no text and unreadable values are noted, each with its line", async () => {
  write("a.yaml", `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoutes\nmetadata: {name: x}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n---\njust text\n`)
  write("b.yaml", `apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: other}\nspec:\n  controllerName: example.com/other\n`)
  write("c.yaml", `apiVersion: v1\nkind: Service\nmetadata:\n  name: big\n  annotations:\n    a: "${"x".repeat(2 * 1024 * 1024)}"\nspec: {ports: [{port: 80}]}\n`)
  writeFileSync(join(folder, "d.yaml"), Buffer.from([0x61, 0xff, 0xfe]))
  await start()
  expect(objects()).toEqual([])
  expect(notes()).toEqual(["a.yaml:2 UnknownKind kind", "a.yaml:6 UnknownKind kind", "a.yaml:9 NotAnObject", "b.yaml:5 OtherController spec.controllerName", "c.yaml:1 ObjectTooLarge", "d.yaml: NotUtf8"])
})

test("a document nested deeper than any stack is noted and leaves the others alone, in every syntax", async () => {
  write("a.yaml", `${route("one")}---\n${"- ".repeat(30_000)}a\n`)
  write("b.json", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"x":${"[".repeat(200_000)}${"]".repeat(200_000)}}}\n`)
  await start()
  expect(objects()).toEqual(["httproute/default/one"])
  expect(notes()).toEqual(["a.yaml:13 TooDeep", "b.json:1 TooDeep"])
})

test("a lost store is filled anew", async () => {
  write("a.yaml", route("one"))
  await start()
  const before = [...state()].filter(([id]) => !id.startsWith("sync/")).map(([id, { body }]) => [id, body])
  store.wipe()
  await until((now) => resourceApis.every(({ kind }) => now.has(`sync//${kind.name}`)))
  expect([...state()].filter(([id]) => !id.startsWith("sync/")).map(([id, { body }]) => [id, body]).sort()).toEqual(before.sort())
})

test("a second adapter waits until the first gives its lease back", async () => {
  write("a.yaml", route("one"))
  const stop = await start({ holder: "first" })
  const before = store.messages("RESOURCES").length
  const second = start({ holder: "second" })
  drop("b.yaml", route("two"))
  await has("httproute/default/two")
  expect(store.messages("RESOURCES").filter(({ subject }) => subject === resourceSubject("httproute", "default/two"))).toHaveLength(1)
  expect(store.messages("RESOURCES").length).toBe(before + 1)
  await stop()
  await second
  drop("c.yaml", route("three"))
  await has("httproute/default/three")
})

test.for(["is there no more", "leads in a circle"])("a folder that goes away deletes nothing, and is read again when it is back (in its place: %s)", async (place) => {
  write("in/a.yaml", route("one"))
  await start({ folders: [join(folder, "in")] })
  renameSync(join(folder, "in"), join(folder, "away"))
  if (place === "leads in a circle") symlinkSync("in", join(folder, "in"))
  await until((now) => [...now.keys()].some((id) => id.startsWith("note/")))
  expect(objects()).toEqual(["httproute/default/one"])
  rmSync(join(folder, "in"), { force: true })
  renameSync(join(folder, "away"), join(folder, "in"))
  await until((now) => ![...now.keys()].some((id) => id.startsWith("note/")))
  drop("in/b.yaml", route("two"))
  await has("httproute/default/two")
  expect(objects()).toEqual(["httproute/default/one", "httproute/default/two"])
})

test.for(["in", "in/sub"])("a folder that another takes the place of (%s) leaves nothing of itself behind", async (swapped) => {
  write(`${swapped}/a.yaml`, route("one"))
  write(`${swapped}/b.yaml`, route("two"))
  write("next/b.yaml", route("two", "/b"))
  write("next/c.yaml", route("three"))
  await start({ folders: [join(folder, "in")] })
  renameSync(join(folder, swapped), join(folder, "away"))
  renameSync(join(folder, "next"), join(folder, swapped))
  await has("httproute/default/three")
  await until((now) => !now.has("httproute/default/one"))
  expect(objects()).toEqual(["httproute/default/three", "httproute/default/two"])
  expect(JSON.stringify(state().get("httproute/default/two")?.body)).toContain("/b")
})

test("a folder that cannot be read when the adapter starts takes nothing away; what is gone when it can be read goes then", async () => {
  write("in/a.yaml", route("one"))
  write("in/b.yaml", route("two"))
  write("other/c.yaml", route("three"))
  write("other/d.yaml", route("four"))
  const folders = [join(folder, "other"), join(folder, "in")]
  await (await start({ folders }))()
  renameSync(join(folder, "in"), join(folder, "away"))
  rmSync(join(folder, "other/d.yaml"))
  await start({ folders })
  expect(objects()).toEqual(["httproute/default/one", "httproute/default/three", "httproute/default/two"])
  rmSync(join(folder, "away/b.yaml"))
  // Perhaps still being written: it is waited for.
  write("away/a.yaml", route("one").trimEnd())
  utimesSync(join(folder, "away/a.yaml"), Date.now() / 1000 + 60, Date.now() / 1000 + 60)
  renameSync(join(folder, "away"), join(folder, "in"))
  await until((now) => !now.has("httproute/default/two"))
  expect(objects()).toEqual(["httproute/default/one", "httproute/default/three"])
  expect(store.messages("RESOURCES").filter(({ subject, headers }) => subject === resourceSubject("httproute", "default/one") && isDeleted(headers))).toEqual([])
})
