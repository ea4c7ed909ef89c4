/**
 * What the credentials of one data plane are good for. Two planes, one nats-server with the users of bus/server/roles.ts;
 * every way to another's subjects is tried with the bare client, as somebody would who has stolen one gateway's
 * credentials, and the same way with rights, so that a way that leads nowhere for everybody proves nothing.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect, type Msg, type NatsConnection } from "@nats-io/transport-node"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Access } from "../../bus/access.ts"
import type { Bus, StreamName } from "../../bus/bus.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { CONTROL_PLANE } from "../../bus/kinds/config.ts"
import { credentialsOf, findNatsServer, renderRoles, roleNames, startNatsServer, type NatsServer } from "../../bus/server.ts"
import { commitSubject, configSubject, encodeToken } from "../../bus/subject.ts"

const PLANES = ["default", "other"]
const MARK = "what only plane other may know"
const JS = "$JS.API"
const PLANE_JS = "$JS.headgate.API"
const STREAMS = ["RESOURCES", "CONFIG", "APPLIED", "HISTORY", "LEASES", "TRACES"] as const

let folder: string
let server: NatsServer
let functions: Bus
let adapter: Bus
let operator: Bus
let other: Bus
/** The bare connection of plane default's gateways. */
let thief: NatsConnection
/** A user with all rights, which no part has: shows that each way leads somewhere. */
let entitled: NatsConnection
/** All that the thief has received, whatever it was for. */
const received: string[] = []
/** What the server has refused the thief, as it says. */
const refused: string[] = []
let onRefused = (): void => undefined

const accessAs = (role: string): Access => ({ url: server.url, ...credentialsOf(role, `password of ${role}`) })
const bare = (role: string): Promise<NatsConnection> => {
  const { user, password } = credentialsOf(role, `password of ${role}`)
  return connect({ servers: server.url, user, pass: password, inboxPrefix: `_INBOX.${role}`, reconnect: false })
}
const as = (role: string, streams: "ensure" | readonly StreamName[] = "ensure"): Promise<Bus> => connectBus({ url: server.url, name: role, access: accessAs(role), streams })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "headgate-roles-"))
  const config = join(folder, "nats.conf")
  const rendered: { accounts: { CONTROL: { users: object[] } } } = JSON.parse(renderRoles(PLANES, new Map(roleNames(PLANES).map((role) => [role, `password of ${role}`]))))
  rendered.accounts.CONTROL.users.push({ user: "entitled", password: "password of entitled" })
  await writeFile(config, JSON.stringify(rendered), { mode: 0o600 })
  server = await startNatsServer({ binary: await findNatsServer(), storeDir: join(folder, "store"), config })
  functions = await as("functions")
  ;[adapter, operator, other] = await Promise.all([as("adapter"), as("operator"), as("gateway.other", ["CONFIG", "APPLIED"])])
  for (const plane of PLANES) {
    const body = plane === "other" ? MARK : "its own"
    for (const subject of [`config.${plane}.certificate.c`, `config.${plane}.route.r`, `config.${plane}.commit.routes`, `config.${plane}.part.routes.0`]) await functions.publish({ subject, data: body })
  }
  await adapter.publish({ subject: "resource.secret.shop.tls", data: MARK })
  await other.publish({ subject: "applied.other.pod", data: MARK })
  await functions.publish({ subject: "lease.routes", data: MARK })
  thief = await bare("gateway.default")
  entitled = await bare("entitled")
  void (async () => {
    for await (const status of thief.status()) if (status.type === "error") {
      refused.push(status.error.message)
      onRefused()
    }
  })()
})

afterAll(async () => {
  await Promise.all([thief, entitled].map((connection) => connection.close()))
  await Promise.all([functions, adapter, operator, other].map((bus) => bus.close()))
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

/** For an answer or a refusal, ms. */
const PATIENCE = 500

const textOf = (message: Msg): string => `${message.subject} ${message.headers?.keys().map((name) => `${name}: ${message.headers?.get(name)}`).join(" ") ?? ""} ${message.string()}`

/** Everything that is answered within a moment, joined; "" for nothing. */
const ask = async (connection: NatsConnection, subject: string, body: unknown = ""): Promise<string> => {
  const answers: string[] = []
  const inbox = `_INBOX.${connection === thief ? "gateway.default" : "entitled"}.${crypto.randomUUID()}`
  const ended = Promise.withResolvers<void>()
  if (connection === thief) onRefused = ended.resolve
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => {
      if (error !== null) return
      answers.push(textOf(message))
      if (connection === thief) received.push(textOf(message))
      // A status (no responders, the end of a batch) or an answer of the API is the last of them.
      if (message.subject === inbox) ended.resolve()
    },
  })
  connection.publish(subject, typeof body === "string" ? body : JSON.stringify(body), { reply: inbox })
  await Promise.race([ended.promise, new Promise((resolve) => setTimeout(resolve, PATIENCE))])
  await connection.flush()
  subscription.unsubscribe()
  return answers.join("\n")
}

/** Makes a consumer by this request and takes what it gives. */
const consume = async (connection: NatsConnection, api: string, create: string, config: object, extra: object = {}): Promise<string> => {
  const name = crypto.randomUUID()
  const made = await ask(connection, `${api}.CONSUMER.CREATE.CONFIG${create.replace("NAME", name)}`, { stream_name: "CONFIG", config: { ...(create.includes("NAME") ? { name } : {}), ack_policy: "none", deliver_policy: "all", mem_storage: true, inactive_threshold: 10_000_000_000, ...config }, ...extra })
  return `${made}\n${await ask(connection, `${api}.CONSUMER.MSG.NEXT.CONFIG.${name}`, { batch: 10, no_wait: true })}`
}

/** Sequences of every stream, for what must not have been written. */
const positions = async (): Promise<readonly (readonly [string, number])[]> => Promise.all(STREAMS.map(async (stream) => [stream, (await operator.info(stream)).lastSeq] as const))

const seqOf = async (subject: string): Promise<number> => (await operator.last("CONFIG", subject))?.seq ?? 0

describe("reading another data plane's subjects", () => {
  const ways: readonly (readonly [how: string, (connection: NatsConnection, api: string) => Promise<string>])[] = [
    ["a consumer of its filter", (c, api) => consume(c, api, ".NAME.config.other.>", { filter_subject: "config.other.>" })],
    ["a consumer of one filter for all", (c, api) => consume(c, api, ".NAME.config.*.>", { filter_subject: "config.*.>" })],
    ["a consumer with its filter in the body alone", (c, api) => consume(c, api, ".NAME", { filter_subject: "config.other.>" })],
    ["a consumer with filter_subjects", (c, api) => consume(c, api, ".NAME", { filter_subjects: ["config.default.>", "config.other.>"] })],
    ["a consumer of everything", (c, api) => consume(c, api, ".NAME", {})],
    ["the last message of a subject", (c, api) => ask(c, `${api}.DIRECT.GET.CONFIG.config.other.certificate.c`)],
    ["a message by its sequence", async (c, api) => ask(c, `${api}.DIRECT.GET.CONFIG`, { seq: await seqOf("config.other.certificate.c") })],
    ["a message by its subject in the body", (c, api) => ask(c, `${api}.DIRECT.GET.CONFIG`, { last_by_subj: "config.other.certificate.c" })],
    ["the next message of a subject in the body", (c, api) => ask(c, `${api}.DIRECT.GET.CONFIG`, { seq: 1, next_by_subj: "config.other.>" })],
    ["several at once (multi_last)", (c, api) => ask(c, `${api}.DIRECT.GET.CONFIG`, { multi_last: ["config.other.>"] })],
  ]
  test.for(ways)("%s: refused by the server, and open to who may", async ([, way]) => {
    expect(await way(entitled, JS)).toContain(MARK)
    for (const api of [JS, PLANE_JS]) {
      const before = refused.length
      expect(await way(thief, api)).not.toContain(MARK)
      expect(refused.slice(before).join("\n")).toContain("Permissions Violation for Publish")
    }
  })

  const inTheBody: readonly (readonly [how: string, refusal: RegExp, (connection: NatsConnection) => Promise<string>])[] = [
    ["its filter in the body, one's own in the subject", /did not match filtered subject/, (c) => consume(c, PLANE_JS, ".NAME.config.default.>", { filter_subject: "config.other.>" })],
    ["no filter in the body", /did not match filtered subject/, (c) => consume(c, PLANE_JS, ".NAME.config.default.>", {})],
    ["filter_subjects beside one's own filter", /multiple subject filters/, (c) => consume(c, PLANE_JS, ".NAME.config.default.>", { filter_subject: "config.default.>", filter_subjects: ["config.other.>"] })],
    ["filter_subjects alone", /multiple subject filters/, (c) => consume(c, PLANE_JS, ".NAME.config.default.>", { filter_subjects: ["config.other.>"] })],
    ["another stream in the body", /stream name in subject does not match/, (c) => ask(c, `${PLANE_JS}.CONSUMER.CREATE.CONFIG.x.config.default.>`, { stream_name: "RESOURCES", config: { name: "x", filter_subject: "config.default.>" } })],
    ["names of subjects with the list of streams", /unknown field/, (c) => ask(c, `${PLANE_JS}.STREAM.LIST`, { subjects_filter: ">" })],
  ]
  test.for(inTheBody)("%s: refused for what the body says", async ([, refusal, way]) => {
    const answer = await way(thief)
    expect(answer).toMatch(refusal)
    expect(answer).not.toContain(MARK)
  })

  test.for([{ seq: 2 }, { multi_last: ["config.other.>"] }, { last_by_subj: "config.other.certificate.c" }, { seq: 1, next_by_subj: "config.other.>" }, { batch: 10, seq: 1 }])("a body %j beside one's own subject gives nothing", async (body) => {
    const answer = await ask(thief, `${PLANE_JS}.DIRECT.GET.CONFIG.config.default.certificate.c`, body)
    expect(answer).not.toBe("")
    expect(answer).not.toContain(MARK)
  })

  test("its own it can read, by each of the ways that are left", async () => {
    expect(await consume(thief, PLANE_JS, ".NAME.config.default.>", { filter_subject: "config.default.>" })).toContain("its own")
    expect(await ask(thief, `${PLANE_JS}.DIRECT.GET.CONFIG.config.default.certificate.c`)).toContain("its own")
    expect(await ask(thief, `${PLANE_JS}.STREAM.LIST`, {})).toContain("last_seq")
  })
})

describe("what else there is to ask", () => {
  const requests = [
    ...STREAMS.flatMap((stream) => [`STREAM.INFO.${stream}`, `STREAM.MSG.GET.${stream}`, `CONSUMER.NAMES.${stream}`, `CONSUMER.LIST.${stream}`, `STREAM.PURGE.${stream}`, `STREAM.DELETE.${stream}`, `STREAM.UPDATE.${stream}`, `STREAM.SNAPSHOT.${stream}`]),
    "STREAM.NAMES", "STREAM.CREATE.COPY", "CONSUMER.DURABLE.CREATE.CONFIG.d", "CONSUMER.MSG.NEXT.RESOURCES.x", "INFO", "ACCOUNT.PURGE.CONTROL",
    ...["RESOURCES.*.resource.>", "APPLIED.*.applied.other.>", "LEASES.*.lease.>", "HISTORY.*.history.>"].map((rest) => `CONSUMER.CREATE.${rest.replace("*", "x")}`),
    "DIRECT.GET.RESOURCES.resource.secret.shop.tls", "DIRECT.GET.RESOURCES", "DIRECT.GET.APPLIED.applied.other.pod", "DIRECT.GET.LEASES.lease.routes",
  ]
  test.for(requests)("%s is refused by the server, in the plane's account as in JetStream's own", async (request) => {
    for (const api of [JS, PLANE_JS, "$JS.hub.API"]) {
      const before = refused.length
      expect(await ask(thief, `${api}.${request}`, {})).toBe("")
      expect(refused.slice(before).join("\n")).toContain(`Permissions Violation for Publish to "${api}.${request}"`)
    }
  })

  test.for(["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.CONTROL.SUBSZ", "$JS.ACK.CONFIG.x.1.1.1.1.0", "$JS.FC.CONFIG.x.y", "$JS.EVENT.ADVISORY.API", "ask.progress", "progress.routes"])("%s cannot be sent to", async (subject) => {
    const before = refused.length
    expect(await ask(thief, subject)).toBe("")
    expect(refused.slice(before).join("\n")).toContain("Permissions Violation for Publish")
  })

  test.for(["config.other.>", "config.>", "resource.>", "applied.other.>", "applied.>", "lease.>", ">", "*.>", "_INBOX.>", "_INBOX.gateway.other.>", "_INBOX.functions.>", "_INBOX.*.>", "_R_.>", "$JS.>", "$JS.EVENT.>", "$JS.ACK.>", "$SYS.>", "progress.>"])("%s cannot be listened to, while everything happens", async (filter) => {
    const before = refused.length
    const heard: string[] = []
    const subscription = thief.subscribe(filter, { callback: (error, message) => { if (error === null) heard.push(textOf(message)) } })
    await thief.flush()
    await functions.publish({ subject: "config.other.route.r", data: MARK })
    await other.publish({ subject: "applied.other.pod", data: MARK })
    await functions.last("CONFIG", "config.other.route.r")
    await thief.flush()
    subscription.unsubscribe()
    received.push(...heard)
    expect(heard).toEqual([])
    expect(refused.slice(before).join("\n")).toContain(`Permissions Violation for Subscription to "${filter}"`)
  })

  test("who may listen hears it: an inbox, and a hint", async () => {
    const heard = Promise.withResolvers<string>()
    const off = operator.onHint("progress.>", (_, data) => heard.resolve(data))
    await operator.info("CONFIG")
    functions.hint("progress.routes", "12")
    expect(await heard.promise).toBe("12")
    off()
  })
})

describe("writing anything but one's own acks and traces", () => {
  test("these are stored", async () => {
    const before = await positions()
    for (const subject of ["applied.default.pod", "trace.gateway.default.pod"]) expect(await ask(thief, subject, "mine")).toContain('"seq":')
    expect((await positions()).filter(([stream, seq]) => seq !== new Map(before).get(stream)).map(([stream]) => stream)).toEqual(["APPLIED", "TRACES"])
  })

  test.for(["config.default.route.r", "config.other.route.r", "config.other.commit.routes", "resource.httproute.shop.web", "applied.other.pod", "applied.default.a.b", "lease.routes", "lease.gateway", "history.commit.default.routes", "checkpoint.x", "trace.functions.x", "trace.gateway.other.pod", "trace.gateway.pod"])("%s: refused by the server, nothing is stored", async (subject) => {
    const [before, stored] = [refused.length, await positions()]
    expect(await ask(thief, subject, "forged")).toBe("")
    expect(refused.slice(before).join("\n")).toContain(`Permissions Violation for Publish to "${subject}"`)
    expect(await positions()).toEqual(stored)
  })

  const stores = ["resource.httproute.shop.forged", "config.other.route.r", "config.default.route.r", "applied.other.pod", "lease.routes", "$JS.API.STREAM.PURGE.RESOURCES", "$JS.API.STREAM.DELETE.RESOURCES"]
  const questions = ["$JS.headgate.API.STREAM.LIST", "$JS.headgate.API.DIRECT.GET.CONFIG.config.default.route.r", "$JS.headgate.API.DIRECT.GET.CONFIG.config.default.route.none", "applied.default.pod"]
  test.for(stores.flatMap((reply) => questions.map((question) => [question, reply] as const)))("the answer to %s, sent on to %s, stays in the plane's account", async ([question, reply]) => {
    const without = (all: Awaited<ReturnType<typeof positions>>) => all.filter(([stream]) => stream !== "APPLIED" || !question.startsWith("applied."))
    const before = without(await positions())
    thief.publish(question, question.startsWith("applied.") ? "mine" : "", { reply })
    await thief.flush()
    // What comes after it on the same connection has been answered: so has it.
    await ask(thief, `${PLANE_JS}.STREAM.LIST`, {})
    expect(without(await positions())).toEqual(before)
    expect((await operator.info("RESOURCES")).messages).toBeGreaterThan(0)
    expect(new TextDecoder().decode((await operator.last("APPLIED", "applied.other.pod"))?.data)).toBe(MARK)
  })

  test("an answer sent on to a stream is stored there, and one sent on to JetStream is obeyed, where asker and streams share an account: what an account for each plane is for", async () => {
    const before = (await operator.info("CONFIG")).lastSeq
    entitled.publish(`${JS}.STREAM.LIST`, "", { reply: "config.other.route.injected" })
    await entitled.flush()
    await ask(entitled, `${JS}.STREAM.LIST`, {})
    expect((await operator.info("CONFIG")).lastSeq).toBe(before + 1)
  })

  test.for(stores)("what a pull gives, sent on to %s, stays in the plane's account", async (reply) => {
    const name = crypto.randomUUID()
    await ask(thief, `${PLANE_JS}.CONSUMER.CREATE.CONFIG.${name}.config.default.>`, { stream_name: "CONFIG", config: { name, filter_subject: "config.default.>", ack_policy: "none", mem_storage: true } })
    const before = await positions()
    thief.publish(`${PLANE_JS}.CONSUMER.MSG.NEXT.CONFIG.${name}`, JSON.stringify({ batch: 10, no_wait: true }), { reply })
    await thief.flush()
    await ask(thief, `${PLANE_JS}.CONSUMER.INFO.CONFIG.${name}`)
    expect(await positions()).toEqual(before)
  })

  test.for([...stores, "_INBOX.functions.x", "$JS.FC.x"])("a consumer that delivers to %s by itself stores nothing", async (deliver) => {
    const before = await positions()
    const name = crypto.randomUUID()
    await ask(thief, `${PLANE_JS}.CONSUMER.CREATE.CONFIG.${name}.config.default.>`, { stream_name: "CONFIG", config: { name, filter_subject: "config.default.>", deliver_subject: deliver, ack_policy: "none", deliver_policy: "all", idle_heartbeat: 100_000_000, flow_control: true, mem_storage: true, inactive_threshold: 10_000_000_000 } })
    await ask(thief, `${PLANE_JS}.STREAM.LIST`, {})
    expect(await positions()).toEqual(before)
  })

  test("a consumer's name is what opens it: another's cannot be learnt, so it cannot be used", async () => {
    const names = async (connection: NatsConnection, api: string): Promise<string> => ask(connection, `${api}.CONSUMER.NAMES.CONFIG`)
    const following = other.follow({ stream: "CONFIG", filter: "config.other.>", from: "state", onMessage: () => undefined })
    for (const api of [JS, PLANE_JS]) expect(await names(thief, api)).toBe("")
    expect(await ask(thief, `${PLANE_JS}.CONSUMER.MSG.NEXT.CONFIG.${"A".repeat(22)}`, { batch: 1, no_wait: true })).not.toContain(MARK)
    await following.stop()
  })
})

describe("the credentials themselves", () => {
  test("without any, with a wrong password, and as another plane with one's own nobody comes in", async () => {
    await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/[Aa]uthorization/)
    await expect(connect({ servers: server.url, user: "gateway.other", pass: "password of gateway.default", reconnect: false })).rejects.toThrow(/[Aa]uthorization/)
    await expect(connectBus({ url: server.url, name: "nobody", access: { url: server.url }, timeout: 0 })).rejects.toMatchObject({ name: "BusError", reason: "rejected", message: expect.stringContaining("HEADGATE_NATS_CREDENTIALS") })
  })

  test("an adapter reads of CONFIG what it carries out, of every adapter the lease, and no more", async () => {
    for (const section of ["wanted", "desired", "status", "function"]) {
      await functions.publish({ subject: configSubject(CONTROL_PLANE, section, "x"), data: section })
      const heard = Promise.withResolvers<string>()
      const following = adapter.follow({ stream: "CONFIG", filter: `config.${encodeToken(CONTROL_PLANE)}.${section}.>`, from: "state", onMessage: ({ data }) => heard.resolve(new TextDecoder().decode(data)) })
      expect(await heard.promise).toBe(section)
      await following.stop()
    }
    for (const name of ["lease.adapter_dfiles", "lease.adapter_dkubernetes"]) {
      await adapter.publish({ subject: name, data: "" })
      expect(await adapter.last("LEASES", name)).toBeDefined()
    }
    const connection = await bare("adapter")
    for (const subject of ["config.other.certificate.c", commitSubject(CONTROL_PLANE, "status"), configSubject(CONTROL_PLANE, "note", "x")]) await expect(connection.request(`${JS}.DIRECT.GET.CONFIG.${subject}`, "", { timeout: 1000 })).rejects.toThrow(/Permissions Violation/)
    await connection.close()
  })

  test("an adapter cannot write configuration, nor functions resources", async () => {
    const connections = await Promise.all([bare("adapter"), bare("functions")])
    const before = await positions()
    for (const [connection, subject] of [[connections[0], "config.default.route.r"], [connections[0], "lease.routes"], [connections[1], "resource.httproute.shop.web"], [connections[1], "applied.default.pod"]] as const) {
      await expect(connection?.request(subject, "forged", { timeout: 1000 })).rejects.toThrow(/Permissions Violation/)
    }
    expect(await positions()).toEqual(before)
    await Promise.all(connections.map((connection) => connection.close()))
  })
})

test("of all that was received in all of this nothing is another plane's", () => {
  expect(received.length).toBeGreaterThan(20)
  expect(received.filter((text) => text.includes(MARK) || /^(?!_INBOX|config\.default\.)/.test(text))).toEqual([])
})
