/** `headgate install` and `uninstall` as an administrator runs them, and what the installation then does. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { run } from "../../bus/server/command.ts"
import { until } from "../system/until.ts"
import { ECHO_IMAGES } from "../conformance/suite.ts"
import { namespace, type TestNamespace } from "./namespace.ts"

const NAMESPACE = "t-install"
const CLASS = "t-install"
const CONTROLLER = "headgate.dev/t-install"
const program = join(import.meta.dirname, "../../infra/cli/main.ts")

let shop: TestNamespace

/** What it printed, on both. Rejects with its last words. */
const headgate = async (command: string, ...args: readonly string[]): Promise<string> => run("sh", ["-c", 'exec "$0" "$@" 2>&1', process.execPath, program, command, "--namespace", NAMESPACE, ...args], { timeout: 120_000 })
const install = (...args: readonly string[]): Promise<string> => headgate("install", "--controller-name", CONTROLLER, "--gateway-class", CLASS, "--timeout", "90", ...args)
const count = (text: string, what: string): number => text.split("\n").filter((line) => line.trim().startsWith(what)).length
/** Everything anywhere that carries the installation's label. */
const remaining = (): Promise<string> =>
  shop.kubectl("get", "namespaces,clusterroles,clusterrolebindings,gatewayclasses,roles,rolebindings,serviceaccounts,services,secrets,deployments,statefulsets,poddisruptionbudgets,networkpolicies,pods", "--all-namespaces", "-l", `headgate.dev/installation=${NAMESPACE}`, "-o", "name")

const labels = { app: "echo" }
const gateway = { apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", metadata: { name: "web" }, spec: { gatewayClassName: CLASS, listeners: [{ name: "http", protocol: "HTTP", port: 80 }] } }
const route = { apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", metadata: { name: "web" }, spec: { parentRefs: [{ name: "web" }], rules: [{ backendRefs: [{ name: "echo", port: 80 }] }] } }
const backend = [
  {
    apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "echo" },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "echo", image: ECHO_IMAGES[0], env: ["POD_NAME", "NAMESPACE"].map((name) => ({ name, value: name })), readinessProbe: { httpGet: { path: "/health", port: 3000 }, periodSeconds: 1 } }] } },
    },
  },
  { apiVersion: "v1", kind: "Service", metadata: { name: "echo" }, spec: { selector: labels, ports: [{ port: 80, targetPort: 3000 }] } },
]
const programmed = (): Promise<string> => shop.get("gateway", "web", '{.status.conditions[?(@.type=="Programmed")].status}')
const address = (): Promise<string> => shop.get("gateway", "web", "{.status.addresses[0].value}")
const status = async (path = "/"): Promise<number> => (await fetch(`http://${await address()}${path}`, { signal: AbortSignal.timeout(2000), headers: { connection: "close" } })).status

beforeAll(async () => {
  shop = await namespace("t-install-shop")
  await headgate("uninstall")
})
afterAll(async () => {
  await headgate("uninstall")
  await shop.end()
})

describe("an installation", () => {
  test("is ready when the command says so; doing it again changes nothing", async () => {
    const first = await install()
    expect(count(first, "made")).toBeGreaterThan(20)
    const pods = await shop.kubectl("-n", NAMESPACE, "get", "pods", "-o", 'jsonpath={range .items[*]}{.metadata.labels.app\\.kubernetes\\.io/name}={.status.containerStatuses[0].ready}/{.status.containerStatuses[0].restartCount}{"\\n"}{end}')
    expect(pods.trim().split("\n").sort()).toEqual(["headgate-adapter=true/0", "headgate-adapter=true/0", "headgate-functions=true/0", "headgate-functions=true/0", "headgate-history=true/0", "headgate-nats=true/0"])
    const again = await install()
    expect(again).not.toMatch(/^ +(made|changed|removed) .*$/m)
    expect(count(again, "unchanged")).toBe(count(first, "made") + count(first, "unchanged"))
  })

  test("keeps its passwords and keys to itself: of the Secret each part sees its own", async () => {
    expect(JSON.parse(await shop.kubectl("-n", NAMESPACE, "get", "secret", "headgate-nats", "-o", "jsonpath={.data}"))).toMatchObject({ adapter: expect.any(String), functions: expect.any(String), operator: expect.any(String), history: expect.any(String), routes: expect.any(String) })
    const mounted = await shop.kubectl("-n", NAMESPACE, "get", "deployments", "-o", "jsonpath={.items[*].spec.template.spec.volumes[?(@.name=='credentials')].secret.items[*].key}")
    expect(mounted.split(" ").sort()).toEqual(["adapter", "functions", "history"].flatMap((role) => [role, `${role}.crt`, `${role}.key`, "ca.crt"]).sort())
    // Who signs: the adapter, for data planes.
    const secrets = await shop.kubectl("-n", NAMESPACE, "get", "deployments", "-o", 'jsonpath={range .items[*]}{.metadata.name} {.spec.template.spec.volumes[*].secret.secretName}{"\\n"}{end}')
    expect(secrets.trim().split("\n")).toEqual(["headgate-adapter headgate-nats headgate-nats-authority", "headgate-functions headgate-nats", "headgate-history headgate-nats"])
  })

  test("serves a Gateway that is made: its data plane's user is let in, and its pods answer", async () => {
    await shop.apply(...backend)
    const began = performance.now()
    await shop.apply(gateway, route)
    await until("the Gateway is programmed", async () => (await programmed()) === "True", 60_000)
    console.log(`programmed after ${Math.round(performance.now() - began)} ms`)
    await until("a request is answered by the backend", async () => (await status()) === 200, 60_000)
  })

  test("answers people's commands in the pod that keeps the history", async () => {
    const ask = (...args: readonly string[]): Promise<string> => shop.kubectl("-n", NAMESPACE, "exec", "deployment/headgate-history", "--", "headgate", ...args)
    expect(await ask("get", "gateways")).toMatch(/^t-install-shop +web +t-install +\S+ +True +http=80 +1$/m)
    expect(await ask("wait", "httproute/t-install-shop/web")).toContain("is live")
    expect(await ask("explain", "GET", `http://${await address()}/`)).toContain("service/t-install-shop/echo/80")
    expect(await ask("history", "httproute/t-install-shop/web")).toContain("served it from")
  })

  test("passes over a Secret that only says it is a data plane's", async () => {
    await shop.apply({ apiVersion: "v1", kind: "Secret", metadata: { name: "thief", labels: { "headgate.dev/plane": "kube-system.web" } }, data: { "nats-password": Buffer.from("a".repeat(43)).toString("base64") } })
    await until("it is said", async () => (await shop.kubectl("-n", NAMESPACE, "logs", "headgate-nats-0")).includes("Secret t-install-shop/thief is passed over"), 10_000)
    await shop.kubectl("delete", "secret", "thief")
  })

  test("gets a new password, and with it a new pod of nats-server, whose log is gone: what is served goes on, and the next edit is live", async () => {
    const answers: number[] = []
    let stop = false
    const asking = (async () => {
      while (!stop) answers.push(await status())
    })()
    const own = (...args: readonly string[]): Promise<string> => shop.kubectl("-n", NAMESPACE, ...args)
    const before = await own("get", "secret", "headgate-nats", "-o", "jsonpath={.data.adapter}")
    await own("patch", "secret", "headgate-nats", "--type=json", "-p", '[{"op":"remove","path":"/data/adapter"}]')
    await own("delete", "pod", "headgate-nats-0", "--wait")
    await until("another password is there", async () => !["", before].includes(await own("get", "secret", "headgate-nats", "-o", "jsonpath={.data.adapter}")), 30_000)
    await own("rollout", "restart", "deployment/headgate-adapter")
    await own("rollout", "status", "deployment/headgate-adapter", "--timeout=50s")
    await shop.apply({ ...route, spec: { ...route.spec, rules: [...route.spec.rules, { matches: [{ path: { value: "/edited" }, method: "POST" }], filters: [{ type: "RequestRedirect", requestRedirect: { statusCode: 302, path: { type: "ReplaceFullPath", replaceFullPath: "/elsewhere" } } }] }] } })
    const edited = async (): Promise<number> => (await fetch(`http://${await address()}/edited`, { method: "POST", redirect: "manual", signal: AbortSignal.timeout(2000) })).status
    await until("the edit is live", async () => (await edited()) === 302, 60_000)
    stop = true
    await asking
    expect(new Set(answers)).toEqual(new Set([200]))
    expect(answers.length).toBeGreaterThan(10)
  })

  test("is limited to namespaces in place: what it may do elsewhere is taken away, and what is served goes on", async () => {
    const limited = await install("--watch-namespaces", shop.name)
    expect(count(limited, "removed")).toBeGreaterThan(0)
    expect(await shop.kubectl("auth", "can-i", "list", "secrets", "--namespace", "default", "--as", `system:serviceaccount:${NAMESPACE}:headgate-adapter`).catch(() => "no")).toMatch(/^no/)
    expect(await shop.kubectl("auth", "can-i", "list", "secrets", "--as", `system:serviceaccount:${NAMESPACE}:headgate-adapter`)).toMatch(/^yes/)
    await shop.apply({ ...route, spec: { ...route.spec, rules: [{ matches: [{ path: { value: "/limited" } }], backendRefs: [{ name: "echo", port: 80 }] }] } })
    await until("the edit is live", async () => (await status("/")) === 404 && (await status("/limited")) === 200, 30_000)
  })

  test("goes as it came, while what is served goes on; doing it again finds nothing", async () => {
    await headgate("uninstall")
    expect(await remaining()).toBe("")
    await expect(shop.kubectl("get", "namespace", NAMESPACE)).rejects.toThrow("not found")
    for (let i = 0; i < 20; i++) expect(await status("/limited")).toBe(200)
    expect(await headgate("uninstall")).toContain("there is no installation")
    await shop.kubectl("delete", "gateway", "web")
    await until("what was made for it has gone with it", async () => (await shop.kubectl("get", "deployments,services,secrets,serviceaccounts,poddisruptionbudgets", "-l", "headgate.dev/plane", "-o", "name")) === "", 60_000)
  })
})

describe("an installation by kubectl apply", () => {
  test("is ready, serves, is the same when it is applied again, and goes by uninstall", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "headgate-install-")), "install.yaml")
    writeFileSync(file, await run(process.execPath, [program, "install", "--dry-run", "--namespace", NAMESPACE, "--controller-name", CONTROLLER, "--gateway-class", CLASS], { timeout: 30_000 }))
    await shop.kubectl("-n", NAMESPACE, "apply", "-f", file)
    const began = performance.now()
    for (const workload of ["statefulset/headgate-nats", "deployment/headgate-adapter", "deployment/headgate-functions", "deployment/headgate-history"]) await shop.kubectl("-n", NAMESPACE, "rollout", "status", workload, "--timeout=50s")
    console.log(`ready ${Math.round(performance.now() - began)} ms after it was applied`)
    await shop.apply(...backend, gateway, route)
    await until("the Gateway is programmed", async () => (await programmed()) === "True", 60_000)
    await until("a request is answered by the backend", async () => (await status()) === 200, 60_000)
    const templates = (): Promise<string> => shop.kubectl("-n", NAMESPACE, "get", "statefulsets,deployments", "-o", "jsonpath={.items[*].spec.template}")
    const before = await templates()
    await shop.kubectl("-n", NAMESPACE, "apply", "-f", file)
    expect(await templates()).toBe(before)
    await headgate("uninstall")
    expect(await remaining()).toBe("")
    expect(await status()).toBe(200)
    await shop.kubectl("delete", "gateway", "web")
    rmSync(dirname(file), { recursive: true })
  })
})

describe("an installation with three nats-servers", () => {
  test("serves, and goes on with edits while one of them after the other is away", async () => {
    await install("--nats-replicas", "3")
    await shop.apply(...backend, gateway, route)
    await until("the Gateway is programmed", async () => (await programmed()) === "True", 60_000)
    await until("a request is answered by the backend", async () => (await status()) === 200, 60_000)
    const answers: number[] = []
    let stop = false
    const asking = (async () => {
      while (!stop) answers.push(await status())
    })()
    for (const ordinal of [0, 1, 2]) {
      await shop.kubectl("-n", NAMESPACE, "delete", "pod", `headgate-nats-${ordinal}`, "--wait=false", "--grace-period=1")
      await shop.apply({ ...route, spec: { ...route.spec, rules: [{ matches: [{ path: { value: `/edit-${ordinal}` } }], filters: [{ type: "RequestRedirect", requestRedirect: { statusCode: 302, path: { type: "ReplaceFullPath", replaceFullPath: "/" } } }] }, ...route.spec.rules] } })
      const began = performance.now()
      await until(`edit ${ordinal} is live`, async () => (await fetch(`http://${await address()}/edit-${ordinal}`, { redirect: "manual", signal: AbortSignal.timeout(2000) })).status === 302, 60_000)
      console.log(`without headgate-nats-${ordinal}: live after ${Math.round(performance.now() - began)} ms`)
      await shop.kubectl("-n", NAMESPACE, "rollout", "status", "statefulset/headgate-nats", "--timeout=60s")
      await until("it is back", async () => (await shop.kubectl("-n", NAMESPACE, "get", "pod", `headgate-nats-${ordinal}`, "-o", "jsonpath={.status.containerStatuses[0].ready}")) === "true", 60_000)
    }
    stop = true
    await asking
    expect(new Set(answers)).toEqual(new Set([200]))
  }, 240_000)
})
