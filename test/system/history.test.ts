/**
 * Questions about the past against an independent recording, with the real processes: random edits while each process
 * is killed again and again. HEADGATE_EDITS and HEADGATE_MOMENTS scale it; HEADGATE_SEED repeats it.
 */
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { accessOf, CREDENTIALS } from "../../bus/access.ts"
import type { Bus } from "../../bus/bus.ts"
import { Recorder, type Expected } from "../../bus/history/oracle.ts"
import { past } from "../../bus/history/past.ts"
import { checkpoint } from "../../bus/history/recorder.ts"
import type { Moment, PastState } from "../../bus/history/state.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { parseSubject, resourceSubject } from "../../bus/subject.ts"
import { systemClock } from "../../bus/unit/clock.ts"
import { explainEntry } from "../../infra/cli/explain-object.ts"
import { history } from "../../infra/cli/history.ts"
import { targetOf } from "../../infra/cli/past-view.ts"
import { Authority } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { connectTo } from "./bus.ts"
import { newWorld, type Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, take, yaml } from "./manifests.ts"
import type { Part } from "./processes.ts"
import { httpsGateway, keyOf, secret } from "./secrets.ts"
import { until } from "./until.ts"

const EDITS = Number(process.env["HEADGATE_EDITS"] ?? 150)
const MOMENTS = Number(process.env["HEADGATE_MOMENTS"] ?? 50)
const SEED = Number(process.env["HEADGATE_SEED"] ?? Date.now() % 1_000_000_007)
const ROUTES = 12
const SERVICES = 4
const PARTS: readonly Part[] = ["adapter", "functions", "gateway", "nats"]
/** Edits between two kills, and between two checkpoints. */
const KILL_EVERY = 30
const CHECKPOINT_EVERY = 70

const random = (() => {
  let state = SEED
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
})()

const world = newWorld("history")
let authority: Authority
let running: Running
let bus: Bus
let keeper: Bus
let recorder: Recorder

const routeFile = (i: number): string => `route-${i}.yaml`
const serviceFile = (i: number): string => `service-${i}.yaml`
const present = new Set<string>()

const dropSecret = (): void => {
  const issued = authority.issue(["secure.example"])
  drop(world.manifests, "secret.yaml", yaml(secret("tls", issued.chain, keyOf(issued))))
}

/** Each edit of a route carries its own number, of a service its own port, of a Secret its own key: what came of it can be told from the outside. */
const edit = (number: number): void => {
  const i = random(ROUTES)
  if (random(12) === 0) dropSecret()
  else if (random(5) === 0) drop(world.manifests, serviceFile(i % SERVICES), yaml(...service(`s${i % SERVICES}`, 80, [{ port: 10_000 + number }])))
  else if (random(6) === 0 && present.delete(routeFile(i))) take(world.manifests, routeFile(i))
  else {
    present.add(routeFile(i))
    drop(world.manifests, routeFile(i), yaml(route(`r${i}`, { gateway: "edge", hostnames: [`r${i}.example`], backend: `s${random(SERVICES)}`, filters: [setHeader("x-edit", `edit-${number}`)] })))
  }
}

const shown = ({ resources, units, acks }: PastState): Expected => ({
  resources: new Map([...resources].map(([subject, { body }]) => [subject, body])),
  units: new Map([...units].map(([key, { commit, entries }]) => [key, { rev: commit.rev, entries: new Map([...entries].map(([subject, { body }]) => [subject, body])) }])),
  acks: new Map([...acks].map(([subject, { body }]) => [subject, body])),
})

const check = async (moment: Exclude<Moment, "now">): Promise<void> => {
  const { value, doubts } = await past(bus).stateAt(moment)
  const what = `${JSON.stringify(moment)}, seed ${SEED}`
  expect(doubts, what).toEqual([])
  const [have, want] = [shown(value), recorder.at(moment)]
  // Map by map: the difference of everything would fill screens.
  expect(have.resources, what).toEqual(want.resources)
  expect(have.acks, what).toEqual(want.acks)
  expect([...have.units.keys()].sort(), what).toEqual([...want.units.keys()].sort())
  for (const [key, unit] of want.units) expect(have.units.get(key), `${key} at ${what}`).toEqual(unit)
}

beforeAll(async () => {
  const [port = 0, secure = 0] = await freePorts(2)
  authority = new Authority()
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port }), httpsGateway("secure", [{ name: "https", port: secure, secrets: [{ name: "tls" }] }])))
  dropSecret()
  for (let i = 0; i < SERVICES; i++) drop(world.manifests, serviceFile(i), yaml(...service(`s${i}`, 80, [{ port: 9000 + i }])))
  running = await world.up()
  bus = await connectTo(running.ready)
  keeper = await connectBus({ url: running.ready.nats, name: "keeper", access: accessOf(running.ready.nats, { [CREDENTIALS]: join(world.data, "credentials", "history") }) })
  recorder = new Recorder(bus)
})

afterAll(async () => {
  await bus.close()
  await keeper.close()
  await world.end()
  authority.end()
})

test(`after ${EDITS} edits and kills of every process, ${MOMENTS} moments and as many sequences are answered exactly`, async () => {
  const killed: Promise<unknown>[] = []
  /** How often each was killed, and when it last came back: one that dies again and again is started later and later. */
  const deaths = new Map<Part, { readonly count: number; readonly back: number }>()
  const kill = async (part: Part): Promise<void> => {
    const { count, back } = deaths.get(part) ?? { count: 0, back: 0 }
    if (count >= 3 && performance.now() - back < 11_000) return
    await running.kill(part)
    deaths.set(part, { count: count + 1, back: performance.now() })
  }
  for (let number = 1; number <= EDITS; number++) {
    edit(number)
    if (number % CHECKPOINT_EVERY === 0) await until("a checkpoint is made", () => checkpoint(keeper, systemClock).then(() => true, () => false), 30_000)
    if (number % KILL_EVERY === 0) {
      await Promise.all(killed.splice(0))
      const part = PARTS[(number / KILL_EVERY) % PARTS.length]
      if (part !== undefined) killed.push(kill(part))
    }
    // Some together, some apart.
    if (random(3) > 0) await new Promise((resolve) => setTimeout(resolve, random(30)))
  }
  await Promise.all(killed)
  expect([...deaths.keys()]).toEqual(expect.arrayContaining(EDITS < PARTS.length * KILL_EVERY ? [] : [...PARTS]))
  drop(world.manifests, "last.yaml", yaml(route("last", { gateway: "edge", hostnames: ["last.example"], backend: "s0" })))
  expect((await world.cli(["wait", "--timeout", "60s"])).stderr).toBe("")
  await until("everything is copied and recorded", async () => {
    const [{ value, doubts }, { lastSeq }] = await Promise.all([past(bus).stateAt("now"), bus.info("APPLIED")])
    return doubts.length === 0 && value.seq === recorder.resources.at(-1)?.seq && lastSeq === recorder.acks.at(-1)?.seq
  }, 20_000)

  const all = [...recorder.resources, ...recorder.commits, ...recorder.acks]
  const { from, fromSeq, toSeq } = await past(bus).window()
  const end = Math.max(...all.map(({ time }) => time))
  for (let i = 0; i < MOMENTS; i++) {
    // Half of them where it is hardest: in the millisecond of a message, the one before and the one after.
    const at = (all[random(all.length)]?.time ?? from) - 1 + random(3)
    await check({ time: random(2) === 0 ? Math.min(Math.max(at, from), end) : from + random(end - from + 1) })
    await check({ seq: fromSeq + random(toSeq - fromSeq + 1) })
  }
}, 120_000 + EDITS * 300 + MOMENTS * 200)

/** Of all commits, in order. */
const rows = (): readonly (readonly [string, string | null])[] =>
  recorder.commits.flatMap(({ body }) => {
    const { diff = [] }: { diff?: [string, string | null][] } = JSON.parse(body)
    return diff
  })

/** What an edit has written, and what is made of it repeats: a route's header, an endpoint's port, a sealed key, a generation. */
const markIn = (body: string): string | undefined => (/edit-\d+/.exec(body) ?? /"port":1\d{4}/.exec(body) ?? /"key":"[^"]+"/.exec(body) ?? /"observedGeneration":\d+/.exec(body))?.[0]

const SECTIONS: readonly string[] = ["certificate", "cluster", "route", "status"]
const sectionOf = (subject: string): string => subject.split(".")[2] ?? ""

/** Of an entry: the one object that its mark comes from, and all that an edit of that kind writes. */
const objectsOf = (subject: string): { readonly marked: string; readonly all: readonly string[] } | undefined => {
  const parsed = parseSubject(subject)
  const [, kind, name] = parsed?.is !== "entry" ? [] : (/^(?:.*\/)?(httproute|service|secret)\/default\/([^/]+)/.exec(parsed.id) ?? [])
  if (kind === undefined || name === undefined) return undefined
  if (kind !== "service") return { marked: `${kind}/default/${name}`, all: [`${kind}/default/${name}`] }
  return { marked: `endpointslice/default/${name}-0`, all: [`service/default/${name}`, `endpointslice/default/${name}-0`] }
}

/** The message of RESOURCES that has brought what an entry's mark says, the last one to do so up to a moment. */
const editBehind = (marked: string, mark: string, time: number): number | undefined => {
  const [kind = "", ...key] = marked.split("/")
  const generation = /"observedGeneration":(\d+)/.exec(mark)?.[1]
  const says = (message: (typeof recorder.resources)[number]): boolean =>
    generation !== undefined ? message.generation === generation && !message.isDeleted : mark.startsWith('"key":') ? message.body.includes(mark.slice(6)) : markIn(message.body) === mark
  const said = recorder.resources.filter((message) => message.subject === resourceSubject(kind, key.join("/")) && message.time <= time)
  // An object made anew counts its generations anew.
  return said.findLast((message, i) => says(message) && !said.slice(Math.max(0, i - 1), i).some(says))?.seq
}

/** The last word on an object before: that it is deleted, and by the time the commit was made nothing newer. */
const deletionBehind = (marked: string, time: number): number | undefined => {
  const [kind = "", ...key] = marked.split("/")
  return recorder.resources.findLast((message) => message.subject === resourceSubject(kind, key.join("/")) && message.time <= time && message.isDeleted)?.seq
}

/** The mark of a version that one edit alone has made, against the version before. */
const ownMark = (section: string, body: string | null, before: string | null): string | undefined => {
  // One that was not there may come with whatever asks for it; one that says the same again, with anything.
  const mark = body === null || before === null ? undefined : markIn(body)
  if (body === null || before === null || mark === undefined || before.includes(mark)) return undefined
  // Where more differs than the edit wrote there are other causes too.
  const isMore = section === "status" && body.replaceAll(mark, "") !== before.replaceAll(markIn(before) ?? mark, "")
  return isMore ? undefined : mark
}

/** Whether it is a route that went or came: what a route asks for goes and comes with it, in one commit too, and is otherwise none of its business. */
const isAsking = (cause: string): boolean => {
  const said = recorder.resources.filter(({ subject }) => subject === resourceSubject("httproute", keyOfCause(cause).slice("httproute/".length)))
  const i = said.findIndex(({ seq }) => seq === seqOfCause(cause))
  return cause.startsWith("httproute/") && i !== -1 && (i === 0 || said[i]?.isDeleted === true || said[i - 1]?.isDeleted === true)
}

const keyOfCause = (cause: string): string => cause.slice(0, cause.lastIndexOf("@"))
const seqOfCause = (cause: string): number => Number(cause.slice(cause.lastIndexOf("@") + 1))

describe("who asks by command", () => {
  test("sees at a moment what was configured and served, in every form", async () => {
    const seq = recorder.resources.findLast(({ subject, isDeleted }) => subject.startsWith("resource.httproute.") && !isDeleted)?.seq ?? 0
    const expected = recorder.at({ seq })
    const { code, stdout } = await world.cli(["at", String(seq), "httproutes", "-o", "json"])
    expect(code).toBe(0)
    const answer: { asOf: { exact: boolean; seq: number }; objects: { key: string; value: unknown }[] } = JSON.parse(stdout)
    expect(answer.asOf).toMatchObject({ exact: true, seq })
    expect(new Map(answer.objects.map(({ key, value }) => [`resource.httproute.${key.replace("/", ".")}`, value])))
      .toEqual(new Map([...expected.resources].filter(([subject]) => subject.startsWith("resource.httproute.")).map(([subject, body]) => [subject, JSON.parse(body)])))
    const table = await world.cli(["at", "-1ms"])
    expect(table.stdout).toMatch(/PODS\nPLANE +POD .*\ndefault +up +true .*routes@\d+/)
    const one = await world.cli(["at", "now", "httproute/last"])
    expect(one.stdout).toMatch(/key: default\/last/)
    expect(one.stdout).toMatch(/up served it: .*routes@\d+/)
  })

  test("is told of every entry which edit made each of its versions", async () => {
    const entries = [...new Set(rows().map(([subject]) => subject))].filter((subject) => SECTIONS.includes(sectionOf(subject)) && objectsOf(subject) !== undefined)
    const versions = new Map<string, number>()
    let removals = 0
    for (const subject of entries) {
      const { marked, all } = objectsOf(subject) ?? { marked: "", all: [] }
      const section = sectionOf(subject)
      const { told, doubts } = await history(bus, { subject, text: subject }, undefined)
      expect(doubts).toEqual([])
      const bodies = rows().filter(([of]) => of === subject).map(([, to]) => to)
      expect(told.map(({ deleted }) => deleted), subject).toEqual(bodies.map((body) => body === null))
      for (const [i, version] of told.entries()) {
        const what = `${subject}, version ${i} of revision ${version.commits[0]?.rev} because of ${version.causes.join(", ")}, seed ${SEED}`
        const [body, before] = [bodies[i] ?? null, bodies[i - 1] ?? null]
        const time = Date.parse(version.time)
        if (body === null && section === "route") {
          expect(version.causes, what).toContain(`${marked}@${deletionBehind(marked, time)}`)
          removals++
        }
        const mark = ownMark(section, body, before)
        if (mark === undefined) continue
        versions.set(section, (versions.get(section) ?? 0) + 1)
        const wanted = editBehind(marked, mark, time)
        expect(version.causes, `${mark}: ${what}`).toContain(`${marked}@${wanted}`)
        expect(Math.max(...version.causes.filter((cause) => keyOfCause(cause) === marked).map(seqOfCause)), what).toBe(wanted)
        // That time has passed is nobody's edit. A status reads the Services that its route names: what else changed of what it read is named with it.
        if (section !== "status") expect(version.causes.filter((cause) => !all.includes(keyOfCause(cause)) && !cause.startsWith("clock/") && !(section === "cluster" && isAsking(cause))), what).toEqual([])
        for (const cause of version.causes) expect(recorder.resources.find(({ seq }) => seq === seqOfCause(cause))?.time, what).toBeLessThanOrEqual(time)
      }
    }
    expect([...versions.keys()].sort()).toEqual(SECTIONS)
    // How many edits become a version of their own is the machine's matter: on a busy one many are answered together.
    expect([...versions.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(EDITS / 20)
    expect(removals).toBeGreaterThan(0)
  }, 120_000 + EDITS * 30)

  test("is told by explain of every entry that is there which edit made it so", async () => {
    const last = new Map(rows())
    let explained = 0
    for (const [subject, body] of last) {
      const [parsed, objects] = [parseSubject(subject), objectsOf(subject)]
      if (body === null || parsed?.is !== "entry" || objects === undefined || !SECTIONS.includes(parsed.section)) continue
      const mark = markIn(body)
      if (mark === undefined) continue
      const [entry] = (await explainEntry(bus, parsed.section, parsed.id)).filter(({ entry: { plane } }) => plane === parsed.plane)
      const own = entry?.causes.filter(({ cause }) => `${cause.kind}/${cause.key}` === objects.marked).map(({ cause }) => cause.seq)
      expect(own, `${subject} (${mark}), seed ${SEED}`).toEqual([editBehind(objects.marked, mark, Infinity)])
      explained++
    }
    expect(explained).toBeGreaterThan(ROUTES)
  }, 120_000)

  test("sees what became of one object, from its file to the pod that served it", async () => {
    const { told } = await history(bus, targetOf(["httproute/last"], undefined, "default"), undefined)
    expect(told).toMatchObject([{ deleted: false, generation: 1, file: "last.yaml", served: [{ pod: "up" }] }])
    expect(told[0]?.commits.map((commit) => commit.function)).toContain("routes")
    const { code, stdout } = await world.cli(["history", "route", "httproute/default/last"])
    expect(code).toBe(0)
    expect(stdout).toContain(`because of httproute/default/last@${told[0]?.seq}`)
  })

  test("sees what differs between two moments", async () => {
    const { seq } = recorder.resources.find(({ subject }) => subject === "resource.httproute.default.last") ?? { seq: 0 }
    const { stdout } = await world.cli(["diff", String(seq - 1), "now", "-o", "json"])
    const { differences }: { differences: { what: string; object: string }[] } = JSON.parse(stdout)
    expect(differences).toContainEqual(expect.objectContaining({ what: "added", object: "httproute default/last" }))
    expect(differences).toContainEqual(expect.objectContaining({ what: "added", object: "route httproute/default/last of default" }))
    expect((await world.cli(["diff", "now", "now"])).stdout).toContain("nothing differs")
    drop(world.manifests, "stray.yaml", yaml(route("stray", { gateway: "edge", backend: "nowhere" })))
    await world.cli(["wait", "httproute/stray", "--timeout", "30s"])
    const since = await world.cli(["diff", String(seq), "now"])
    expect(since.stdout).toMatch(/^\+ note [A-Z][A-Za-z]+ on Service default\/nowhere by endpoints$/m)
  })

  test("learns the window's bounds outside it, and that there was no such object", async () => {
    const before = await world.cli(["at", "3d"])
    expect([before.code, before.stderr]).toEqual([4, expect.stringMatching(/outside the window: the history that is kept goes from .* \(sequence 1\) to now/)])
    const later = await world.cli(["at", "99999999"])
    expect([later.code, later.stderr]).toEqual([4, expect.stringMatching(/still to come: the last of RESOURCES is \d+/)])
    for (const args of [["at", "now", "httproute/nope"], ["history", "httproute/nope"], ["diff", "now", "now", "httproute/nope"]]) expect((await world.cli(args)).code, args.join(" ")).toBe(3)
    for (const args of [["at", "yesterday"], ["history"], ["diff", "now", "25:00"]]) expect((await world.cli(args)).code, args.join(" ")).toBe(2)
  })
})

test("a store made without a history keeps none, and whoever asks is told", async () => {
  const plain = newWorld("no history")
  const before = process.env["HEADGATE_HISTORY"]
  process.env["HEADGATE_HISTORY"] = "off"
  try {
    const [port = 0] = await freePorts(1)
    drop(plain.manifests, "all.yaml", yaml(gatewayClass(), gateway("edge", { http: port }), ...service("a", 80, [{ port: 9 }]), route("web", { gateway: "edge", backend: "a" })))
    const { ready } = await plain.up()
    delete process.env["HEADGATE_HISTORY"]
    // What the store was made with counts, not what the one who asks has set.
    for (const args of [["at", "1s"], ["history", "httproute/web"], ["diff", "1s", "now"]]) {
      const { code, stderr } = await plain.cli(args)
      expect([code, stderr], args.join(" ")).toEqual([1, expect.stringContaining("keeps no history: it was made with HEADGATE_HISTORY=off")])
    }
    const other = await connectTo(ready)
    expect((await other.info("APPLIED")).messages).toBe(1)
    await expect(other.info("RESOURCES_HISTORY")).rejects.toMatchObject({ reason: "no-stream" })
    await other.close()
  } finally {
    if (before === undefined) delete process.env["HEADGATE_HISTORY"]
    else process.env["HEADGATE_HISTORY"] = before
    await plain.end()
  }
}, 60_000)
