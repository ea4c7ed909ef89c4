/** Desired objects on a real API server, as the user whose rights are those of permissions.ts. */
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest"
import type { Desired } from "../../../../bus/kinds/desired.ts"
import { memoryStore, type MemoryStore } from "../../../../bus/memory.ts"
import { onApiServer } from "../../../../test/cluster/api-server.ts"
import { ADAPTER, faster, prepare, world, type ApiObject, type World } from "../../../../test/cluster/applying.ts"
import { startFaultProxy } from "../../../../test/cluster/fault-proxy.ts"
import { until } from "../../../../test/system/until.ts"
import { ApiError } from "../api-error.ts"
import { Events } from "./events.ts"

const GATEWAY_API = "gateway.networking.k8s.io/v1"

await onApiServer("desired objects in the API", (server) => {
  let w: World
  beforeAll(() => prepare(server()))
  beforeEach(async () => { w = await world(server()) })
  afterEach(() => w.stop())

  const labels = { "app.kubernetes.io/name": "headgate-gateway" }
  const from = (kind: string, apiVersion: string, name: string, body: Readonly<Record<string, unknown>>, more: Partial<Desired> = {}): readonly [string, Desired] =>
    [`${kind.toLowerCase()}/${w.namespace}/${name}`, { schema: 1, source: { kind: "Gateway", namespace: w.namespace, name: "edge" }, apiVersion, kind, namespace: w.namespace, name, body, ...more }]
  /** As the function makes it: quantities, defaults and lists by key, which the API server writes in its own way. */
  const deployment = (image = "headgate.dev/headgate:1", more: Readonly<Record<string, unknown>> = {}) =>
    from("Deployment", "apps/v1", "edge", {
      metadata: { labels, annotations: { "example.com/a": "b" }, ...more },
      spec: {
        replicas: 2, selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            automountServiceAccountToken: false, terminationGracePeriodSeconds: 60, securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
            containers: [{ name: "gateway", image, args: ["gateway"], env: [{ name: "A", value: "1" }, { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }], ports: [{ containerPort: 10080 }, { containerPort: 10443, name: "tls" }], resources: { requests: { cpu: "1000m", memory: "1024Mi" } }, volumeMounts: [{ name: "key", mountPath: "/key", readOnly: true }], securityContext: { capabilities: { drop: ["ALL"] }, readOnlyRootFilesystem: true }, readinessProbe: { httpGet: { path: "/ready", port: 10000 } } }],
            volumes: [{ name: "key", secret: { secretName: "edge" } }, { name: "tmp", emptyDir: {} }], topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "ScheduleAnyway", labelSelector: { matchLabels: labels } }],
          },
        },
      },
    })
  const service = () => from("Service", "v1", "edge", { metadata: { labels }, spec: { type: "LoadBalancer", selector: labels, ports: [{ name: "p80", port: 80, targetPort: 10080 }, { name: "p443", port: 443, targetPort: 10443 }] } })
  const account = () => from("ServiceAccount", "v1", "edge", { metadata: { labels }, automountServiceAccountToken: false })
  const budget = () => from("PodDisruptionBudget", "policy/v1", "edge", { metadata: { labels }, spec: { maxUnavailable: 1, selector: { matchLabels: labels } } })
  const secret = () => from("Secret", "v1", "edge", { metadata: { labels }, type: "Opaque", data: { plane: "ZWRnZQ==" } }, { generated: { "plane.key": { as: "hex", bytes: 32 }, "nats-password": { as: "base64url", bytes: 32 } } })
  const all = () => [deployment(), service(), account(), budget(), secret()]

  const PATHS: Readonly<Record<string, string>> = { deployment: "/apis/apps/v1", service: "/api/v1", serviceaccount: "/api/v1", secret: "/api/v1", poddisruptionbudget: "/apis/policy/v1" }
  const path = (kind: string, name = "edge"): string => `${PATHS[kind]}/namespaces/${w.namespace}/${kind}s/${name}`
  const read = async (kind: string, name?: string): Promise<(ApiObject & { readonly data?: Readonly<Record<string, string>>; readonly spec?: Readonly<Record<string, unknown>> }) | undefined> => {
    try {
      return JSON.parse(JSON.stringify(await w.api.request({ path: path(kind, name) })))
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }
  const say = async (entries: readonly (readonly [string, Desired])[], store?: MemoryStore): Promise<void> => {
    for (const [id, value] of entries) await w.say(id, value, store)
  }
  const made = () => until("all are there", async () => (await Promise.all(["deployment", "service", "serviceaccount", "poddisruptionbudget", "secret"].map((kind) => read(kind)))).every((each) => each !== undefined))
  const uids = async () => (await Promise.all(["deployment", "service", "serviceaccount", "poddisruptionbudget", "secret"].map((kind) => read(kind)))).map((each) => `${each?.metadata.uid} ${each?.metadata.resourceVersion}`)
  const change = (kind: string, body: unknown) => w.api.request({ method: "PATCH", path: path(kind), query: { fieldManager: "somebody" }, headers: { "content-type": "application/merge-patch+json" }, body })
  const lead = async (one: ReturnType<World["start"]>) => {
    await until("it leads", () => one.apply.leads)
    await one.apply.desired.settled()
  }

  test("what is desired is made, by one manager of fields, labelled as ours; and nothing is sent again", async () => {
    await say(all())
    const one = w.start()
    await made()
    await one.apply.desired.settled()
    // The Secret is created, then applied.
    expect(w.writes()).toHaveLength(6)
    for (const kind of ["deployment", "service", "serviceaccount", "poddisruptionbudget", "secret"]) {
      const { metadata } = (await read(kind)) ?? { metadata: undefined }
      expect(metadata?.labels).toMatchObject({ ...labels, "app.kubernetes.io/managed-by": "headgate" })
      expect(metadata?.managedFields?.map(({ manager }) => manager).filter((manager) => manager !== "headgate")).toEqual([])
    }
    await say(all())
    await one.apply.desired.settled()
    expect(w.writes()).toHaveLength(6)
    expect(one.apply.desired.writes).toBe(6)
  })

  test("pods come after what they mount, in whatever order it is said", async () => {
    const one = w.start()
    await until("it leads", () => one.apply.leads)
    await say(all())
    await made()
    await one.apply.desired.settled()
    const [pods, key, user] = await Promise.all(["deployment", "secret", "serviceaccount"].map(async (kind) => Number((await read(kind))?.metadata.resourceVersion)))
    expect(pods).toBeGreaterThan(Math.max(key ?? Infinity, user ?? Infinity))
  })

  test("a restart writes nothing", async () => {
    await say(all())
    const first = w.start()
    await made()
    await first.apply.desired.settled()
    await first.stop()
    const before = [await uids(), w.writes().length]
    const second = w.start({ holder: "two" })
    await lead(second)
    expect(second.apply.desired.writes).toBe(0)
    expect([await uids(), w.writes().length]).toEqual(before)
  })

  test("amnesia: a store made anew and filled again changes nothing, also while it is half full, and keys stay", async () => {
    await say(all())
    const first = w.start()
    await made()
    await first.apply.desired.settled()
    await first.stop()
    const before = await uids()
    const anew = memoryStore()
    const second = w.start({ holder: "two", store: anew })
    await until("it leads", () => second.apply.leads)
    expect(await uids()).toEqual(before)
    await say(all().slice(0, 2), anew)
    await second.apply.desired.settled()
    expect(await uids()).toEqual(before)
    await say(all().slice(2), anew)
    await second.apply.desired.settled()
    expect(await uids()).toEqual(before)
    expect(second.apply.desired.writes).toBe(0)
  })

  test("an object goes when its entry is deleted, and only then; one without our label stays", async () => {
    await say([deployment(), service(), account()])
    const one = w.start()
    await until("they are there", async () => (await read("deployment")) !== undefined && (await read("service")) !== undefined && (await read("serviceaccount")) !== undefined)
    await one.apply.desired.settled()
    await one.stop()
    // While nobody looks one entry is deleted; and one of an object that is not ours.
    await w.say(deployment()[0], undefined)
    await change("service", { metadata: { labels: { "app.kubernetes.io/managed-by": null } } })
    await w.say(service()[0], undefined)
    const two = w.start({ holder: "two" })
    await until("it is gone", async () => (await read("deployment")) === undefined)
    await lead(two)
    expect(await read("service")).toBeDefined()
    expect(await read("serviceaccount")).toBeDefined()
    await w.say(account()[0], undefined)
    await until("it is gone", async () => (await read("serviceaccount")) === undefined)
    expect(w.writes().filter((each) => each.startsWith("DELETE"))).toHaveLength(2)
  })

  test("an object that may not be deleted is a note, until it is", async () => {
    await say([account()])
    const one = w.start()
    await until("it is there", async () => (await read("serviceaccount")) !== undefined)
    const [id] = account()
    w.proxy.fault = ({ method, path }) => (method === "DELETE" && path.includes("/serviceaccounts/") ? { is: "answer", status: 403, body: { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Forbidden", code: 403, message: "serviceaccounts is forbidden" } } : undefined)
    await w.say(id, undefined)
    expect(await until("a note", () => one.notes.get(`apply/desired/${id}`))).toMatchObject({ reason: "Forbidden", about: { kind: "ServiceAccount", namespace: w.namespace, name: "edge" }, message: `ServiceAccount ${w.namespace}/edge was not deleted: serviceaccounts is forbidden` })
    w.proxy.fault = () => undefined
    await until("it is gone, and so is the note", async () => (await read("serviceaccount")) === undefined && !one.notes.has(`apply/desired/${id}`))
  })

  test("an object that took the place of the one that was to be deleted is not deleted in its stead", async () => {
    await say([account()])
    const one = w.start()
    await until("it is there", async () => (await read("serviceaccount")) !== undefined)
    await one.apply.desired.settled()
    let isHeld = true
    w.proxy.fault = ({ method }) => (method === "DELETE" && isHeld ? { is: "late", ms: 400 } : undefined)
    await w.say(account()[0], undefined)
    await until("it is on its way", () => w.writes().some((each) => each.startsWith("DELETE")))
    isHeld = false
    await w.api.request({ method: "DELETE", path: path("serviceaccount") })
    await w.api.request({ method: "POST", path: path("serviceaccount", ""), body: { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "edge", labels } } })
    await one.apply.desired.settled()
    expect((await read("serviceaccount"))?.metadata.labels).toEqual(labels)
  })

  test("an object of somebody else with that name is left alone, and a note says so", async () => {
    await w.api.request({ method: "POST", path: path("serviceaccount", ""), body: { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "edge", labels: { whose: "theirs" } } } })
    await say([account()])
    const one = w.start()
    const note = await until("a note", () => one.notes.get(`apply/desired/${account()[0]}`))
    expect(note).toMatchObject({ reason: "NotOurs", about: { kind: "Gateway", name: "edge" } })
    expect((await read("serviceaccount"))?.metadata.labels).toEqual({ whose: "theirs" })
    await w.api.request({ method: "DELETE", path: path("serviceaccount") })
    await until("it is made", async () => (await read("serviceaccount"))?.metadata.labels?.["app.kubernetes.io/managed-by"] === "headgate")
    await until("the note is gone", () => one.notes.size === 0)
  })

  test("what somebody changes or deletes is made right again; what others add is left", async () => {
    await say([deployment(), service()])
    const one = w.start()
    await until("they are there", async () => (await read("deployment")) !== undefined && (await read("service")) !== undefined)
    await one.apply.desired.settled()
    const before = one.apply.desired.writes
    await change("deployment", { metadata: { annotations: { "deployment.kubernetes.io/revision": "7" } } })
    await change("deployment", { spec: { replicas: 9 } })
    await until("replicas are 2 again", async () => (await read("deployment"))?.spec?.["replicas"] === 2)
    expect((await read("deployment"))?.metadata.annotations).toMatchObject({ "deployment.kubernetes.io/revision": "7", "example.com/a": "b" })
    const { metadata } = (await read("service")) ?? {}
    await w.api.request({ method: "DELETE", path: path("service") })
    await until("it is there again", async () => ![undefined, metadata?.uid].includes((await read("service"))?.metadata.uid))
    await change("service", { metadata: { labels: { "app.kubernetes.io/managed-by": null } } })
    await until("the label is there again", async () => (await read("service"))?.metadata.labels?.["app.kubernetes.io/managed-by"] === "headgate")
    await one.apply.desired.settled()
    expect(one.apply.desired.writes - before).toBe(3)
  })

  test("a field that is no longer desired goes", async () => {
    await say([deployment()])
    w.start()
    await until("it is there", async () => (await read("deployment")) !== undefined)
    await say([deployment("headgate.dev/headgate:2", { annotations: {} })])
    await until("it is the new one", async () => JSON.stringify((await read("deployment"))?.spec).includes("headgate:2"))
    expect((await read("deployment"))?.metadata.annotations).not.toHaveProperty("example.com/a")
  })

  test("generated keys are made once and kept, whoever changes the object", async () => {
    await say([secret()])
    const one = w.start()
    await until("it is there", async () => (await read("secret")) !== undefined)
    await one.apply.desired.settled()
    const { data } = (await read("secret")) ?? {}
    const text = (key: string): string => Buffer.from(data?.[key] ?? "", "base64").toString("utf8")
    expect(text("plane.key")).toMatch(/^[0-9a-f]{64}$/)
    expect(text("nats-password")).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(text("plane")).toBe("edge")
    const [id, value] = secret()
    await w.say(id, { ...value, body: { ...value.body, metadata: { labels: { ...labels, more: "1" } } } })
    await until("it is changed", async () => (await read("secret"))?.metadata.labels?.["more"] === "1")
    expect((await read("secret"))?.data).toEqual(data)
    await change("secret", { data: { plane: "bm8=" } })
    await until("it is right again", async () => (await read("secret"))?.data?.["plane"] === "ZWRnZQ==")
    expect((await read("secret"))?.data).toEqual(data)
    expect(one.apply.desired.writes).toBe(4)
  })

  test("of two that make a Secret at once the second takes over the keys of the first", async () => {
    const one = w.start()
    await until("it leads", () => one.apply.leads)
    w.proxy.fault = ({ method, path: at }) => (method === "POST" && at.endsWith("/secrets") ? { is: "late", ms: 400 } : undefined)
    await say([secret()])
    await until("it is on its way", () => w.writes().length === 1)
    const theirs = Buffer.from("1".repeat(64)).toString("base64")
    await w.api.request({ method: "POST", path: path("secret", ""), query: { fieldManager: "headgate" }, body: { apiVersion: "v1", kind: "Secret", metadata: { name: "edge", labels: { "app.kubernetes.io/managed-by": "headgate" } }, data: { "plane.key": theirs } } })
    await until("all of it is there", async () => (await read("secret"))?.data?.["nats-password"] !== undefined)
    expect((await read("secret"))?.data?.["plane.key"]).toBe(theirs)
  })

  test("what is refused is a note on who asks for it, with the API's words, and an Event; it heals by itself", async () => {
    await w.api.request({ method: "POST", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways`, body: { apiVersion: GATEWAY_API, kind: "Gateway", metadata: { name: "edge" }, spec: { gatewayClassName: "ours", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } } })
    const quota = `/api/v1/namespaces/${w.namespace}/resourcequotas`
    await w.api.request({ method: "POST", path: quota, body: { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "none" }, spec: { hard: { services: "0" } } } })
    await w.api.request({ method: "PATCH", path: `${quota}/none/status`, headers: { "content-type": "application/merge-patch+json" }, body: { status: { hard: { services: "0" }, used: { services: "0" } } } })
    const [id, wrong] = account()
    const one = w.start()
    await say([service(), [id, { ...wrong, body: { metadata: { labels: { "not a label": "" } } } }]])
    expect(await until("a note on the Service", () => one.notes.get(`apply/desired/${service()[0]}`))).toMatchObject({ severity: "error", reason: "QuotaExceeded", message: expect.stringContaining("exceeded quota: none"), about: { kind: "Gateway", namespace: w.namespace, name: "edge" } })
    expect(await until("a note on the ServiceAccount", () => one.notes.get(`apply/desired/${id}`))).toMatchObject({ reason: "Invalid", message: expect.stringContaining("not a label") })
    const events = async () => {
      const { items }: { items: { reason: string; note: string; action: string; regarding: { kind: string; name: string } }[] } = JSON.parse(JSON.stringify(await w.api.request({ path: `/apis/events.k8s.io/v1/namespaces/${w.namespace}/events` })))
      return items
    }
    await until("Events", async () => (await events()).length === 2)
    expect((await events()).map(({ reason, action, regarding: { kind, name } }) => [reason, action, kind, name]).sort()).toEqual([["Invalid", "Apply", "Gateway", "edge"], ["QuotaExceeded", "Apply", "Gateway", "edge"]])
    await w.api.request({ method: "DELETE", path: `${quota}/none` })
    await say([[id, wrong]])
    await until("both are there", async () => (await read("service")) !== undefined && (await read("serviceaccount")) !== undefined)
    await until("no note is left", () => one.notes.size === 0)
    expect((await events()).length).toBe(2)
  })

  test("a policy of the cluster that refuses an object is named", async () => {
    const group = "/apis/admissionregistration.k8s.io/v1"
    const policy = { apiVersion: "admissionregistration.k8s.io/v1", kind: "ValidatingAdmissionPolicy", metadata: { name: w.namespace }, spec: { failurePolicy: "Fail", matchConstraints: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": w.namespace } }, resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: ["services"] }] }, validations: [{ expression: "object.spec.type != 'LoadBalancer'", message: "no load balancers here" }] } }
    await w.api.request({ method: "POST", path: `${group}/validatingadmissionpolicies`, body: policy })
    await w.api.request({ method: "POST", path: `${group}/validatingadmissionpolicybindings`, body: { apiVersion: "admissionregistration.k8s.io/v1", kind: "ValidatingAdmissionPolicyBinding", metadata: { name: w.namespace }, spec: { policyName: w.namespace, validationActions: ["Deny"] } } })
    const probe = { apiVersion: "v1", kind: "Service", metadata: { name: "probe" }, spec: { type: "LoadBalancer", ports: [{ port: 80 }] } }
    await until("it holds", () => w.api.request({ method: "POST", path: path("service", ""), query: { dryRun: "All" }, body: probe }).then(() => false, () => true))
    const one = w.start()
    await say([service()])
    expect(await until("a note", () => one.notes.get(`apply/desired/${service()[0]}`))).toMatchObject({ reason: "AdmissionRefused", message: expect.stringContaining("no load balancers here") })
    // Whoever writes next finds out for itself.
    await one.stop()
    expect(one.notes.size).toBe(0)
  })

  test("an object whose owner is gone is not made again", async () => {
    const gateway: ApiObject = JSON.parse(JSON.stringify(await w.api.request({ method: "POST", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways`, body: { apiVersion: GATEWAY_API, kind: "Gateway", metadata: { name: "edge" }, spec: { gatewayClassName: "ours", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } } })))
    const owned = (uid: string) => from("ServiceAccount", "v1", "edge", { metadata: { labels, ownerReferences: [{ apiVersion: GATEWAY_API, kind: "Gateway", name: "edge", uid, controller: true, blockOwnerDeletion: true }] } })
    await say([owned(gateway.metadata.uid)])
    const one = w.start()
    await until("it is there", async () => (await read("serviceaccount")) !== undefined)
    await one.apply.desired.settled()
    expect(one.apply.desired.writes).toBe(1)
    await w.api.request({ method: "DELETE", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways/edge` })
    await until("that is known", () => w.api.request({ path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways/edge` }).then(() => false, () => true))
    // As the garbage collector does.
    await w.api.request({ method: "DELETE", path: path("serviceaccount") })
    await say([budget()])
    await until("what came after it is made", async () => (await read("poddisruptionbudget")) !== undefined)
    await one.apply.desired.settled()
    expect(await read("serviceaccount")).toBeUndefined()
  })

  test("an object that is known sooner than its owner is made when that comes, whatever else changes meanwhile", async () => {
    const makeGateway = async (name: string): Promise<ApiObject> => JSON.parse(JSON.stringify(await w.api.request({ method: "POST", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways`, body: { apiVersion: GATEWAY_API, kind: "Gateway", metadata: { name }, spec: { gatewayClassName: "ours", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] } } })))
    const cut = await startFaultProxy({ server: server().url, authority: server().authority })
    // A watch that is behind: it tells of other Gateways, and of this one later.
    const { metadata: { uid } } = await makeGateway("edge")
    let isBehind = true
    cut.fault = ({ path }) => (path.endsWith("/gateways") && isBehind ? { is: "changed", by: (text) => text.replaceAll('"name":"edge"', '"name":"nobody"') } : undefined)
    const one = w.start({ through: cut })
    await lead(one)
    await say([from("ServiceAccount", "v1", "edge", { metadata: { labels, ownerReferences: [{ apiVersion: GATEWAY_API, kind: "Gateway", name: "edge", uid, controller: true, blockOwnerDeletion: true }] } })])
    await one.apply.desired.settled()
    for (const name of ["a", "b", "c"]) {
      await makeGateway(name)
      await until("it is known", () => one.observer.get("gateway", `${w.namespace}/${name}`))
      await one.apply.desired.settled()
    }
    expect(await read("serviceaccount")).toBeUndefined()
    isBehind = false
    cut.cut()
    await w.api.request({ method: "PATCH", path: `/apis/${GATEWAY_API}/namespaces/${w.namespace}/gateways/edge`, headers: { "content-type": "application/merge-patch+json" }, body: { metadata: { labels: { changed: "true" } } } })
    await until("it is made", async () => (await read("serviceaccount")) !== undefined)
    await one.stop()
    await cut.stop()
  })

  test("what is told again of an object is a series of one Event, written now and then", async () => {
    const failed: string[] = []
    const events = new Events({ api: w.api, holder: "one", controller: "headgate.dev/gateway", namespaces: undefined, mayWrite: () => true, clock: faster(100), log: ({ message }) => void failed.push(message) })
    const told = { regarding: { apiVersion: "v1", kind: "ConfigMap", namespace: w.namespace, name: "of-this", uid: "u1" }, type: "Warning", reason: "QuotaExceeded", action: "Apply", note: "ä".repeat(2000) } as const
    const stored = async () => {
      const { items }: { items: { metadata: { resourceVersion: string }; note: string; series?: { count: number } }[] } = JSON.parse(JSON.stringify(await w.api.request({ path: `/apis/events.k8s.io/v1/namespaces/${w.namespace}/events` })))
      return items
    }
    events.tell(told)
    await until("the first", async () => (await stored()).length === 1)
    for (let n = 0; n < 50; n++) events.tell(told)
    const [one, ...more] = await until("the series", async () => (await stored())[0]?.series?.count !== undefined && stored())
    expect([one?.series?.count, more, one?.note]).toEqual([51, [], `${"ä".repeat(510)}…`])
    events.tell({ ...told, reason: "Forbidden" })
    await until("another", async () => (await stored()).length === 2)
    expect(failed).toEqual([])
    events.stop()
  })

  test("a kind that the adapter does not make is refused in words", async () => {
    const one = w.start()
    await say([from("ClusterRole", "rbac.authorization.k8s.io/v1", "edge", {})])
    expect(await until("a note", () => one.notes.get(`apply/desired/clusterrole/${w.namespace}/edge`))).toMatchObject({ reason: "KindNotApplied" })
  })
}, [ADAPTER])
