/** `headgate wait`: what it says is live is served, to the first request after it; who it names is who lacks it. */
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { accessOf, CREDENTIALS } from "../../bus/access.ts"
import { connectBus } from "../../bus/jetstream.ts"
import type { Bus } from "../../bus/bus.ts"
import { wait, type Waited } from "../../infra/cli/wait.ts"
import { Manifests } from "../../infra/cli/wait-files.ts"
import { explain } from "../../infra/cli/explain.ts"
import { objectNames } from "../../infra/cli/object-name.ts"
import { Authority } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { startBackend, type Backend } from "./backend.ts"
import { newWorld, root, type Running } from "./headgate.ts"
import { drop, gateway, gatewayClass, route, service, setHeader, take, yaml } from "./manifests.ts"
import { httpsGateway, keyOf, presented, secret } from "./secrets.ts"
import { ask } from "./traffic.ts"
import { until } from "./until.ts"

const world = newWorld("wait")
let port = 0
let running: Running
let backend: Backend
let bus: Bus

const web = (version: number) => route("web", { gateway: "edge", backend: "a", filters: [setHeader("x-version", String(version))] })
const edit = (version: number) => drop(world.manifests, "web.yaml", yaml(web(version)))
const version = async (): Promise<string | undefined> => {
  const found = (await ask({ port })).headers["x-version"]
  return typeof found === "string" ? found : undefined
}

/** As the command does, on a connection that is there. */
const waitFor = (names: readonly string[], more: { readonly timeout?: number; readonly for?: "live" | "delete"; readonly files?: boolean } = {}): Promise<Waited> =>
  wait(bus, { objects: objectNames(names, undefined), for: more.for ?? "live", timeout: more.timeout ?? 10_000, manifests: more.files === false ? undefined : new Manifests(world.manifests) })

/** With the rights of people's commands. */
const connect = (): Promise<Bus> => {
  const url = running.ready.nats
  return connectBus({ url, name: "test", access: accessOf(url, { [CREDENTIALS]: join(world.data, "credentials", "operator") }) })
}
/** As a user types it beside a running `up`. */
const cli = (args: readonly string[]) => world.cli(args, { HEADGATE_NATS_URL: "" })

beforeAll(async () => {
  ;[port = 0] = await freePorts(1)
  backend = await startBackend("a")
  drop(world.manifests, "gateway.yaml", yaml(gatewayClass(), gateway("edge", { http: port })))
  drop(world.manifests, "services.yaml", yaml(...service("a", 80, [{ port: backend.port }])))
  edit(0)
  running = await world.up()
  bus = await connect()
})

afterAll(async () => {
  await world.end()
  await backend.stop()
  await bus.close()
})

test("200 times: an edit, wait, and the first request after it is served by the new version", async () => {
  const took: number[] = []
  const beyond: number[] = []
  for (let i = 1; i <= 200; i++) {
    edit(i)
    const began = performance.now()
    const { status, text } = await waitFor(["httproute/web"])
    took.push(performance.now() - began)
    const [, ack = ""] = /said so last at ([\d:.]+)/.exec(text) ?? []
    beyond.push(Date.now() - Date.parse(`${new Date().toISOString().slice(0, 11)}${ack}Z`))
    expect(text).toMatch(/^httproute default\/web is live: /)
    expect(status).toBe(0)
    expect(await version()).toBe(String(i))
  }
  const quantile = (values: readonly number[], share: number) => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)]?.toFixed(1)
  console.log(`wait after an edit: p50 ${quantile(took, 0.5)} ms, p99 ${quantile(took, 0.99)} ms; of that beyond the last ack p50 ${quantile(beyond, 0.5)} ms, p99 ${quantile(beyond, 0.99)} ms`)
})

test("the command itself: status 0 and one line; an edit that changes nothing returns at once", async () => {
  edit(1000)
  const done = await cli(["wait", "httproute/web"])
  expect(done).toMatchObject({ code: 0, stderr: "" })
  expect(done.stdout).toMatch(/^httproute default\/web is live: version of [\d:.]+, sequence \d+, generation \d+; gateway default\/\S+ said so last at [\d:.]+; waited \d+ ms\n$/)
  expect(await version()).toBe("1000")
  drop(world.manifests, "web.yaml", `# a comment changes nothing\n${yaml(web(1000))}`)
  expect((await waitFor(["httproute/web"], { timeout: 10_000 })).status).toBe(0)
  drop(world.manifests, "web.yaml", yaml({ ...web(1000), metadata: { name: "web", namespace: "default", annotations: { by: "me" } } }))
  const began = performance.now()
  expect((await waitFor(["hr", "default/web"], { timeout: 10_000 })).status).toBe(0)
  expect(performance.now() - began).toBeLessThan(2_000)
})

test("a Service, a Gateway, several at once, and everything", async () => {
  drop(world.manifests, "more.yaml", yaml(route("more", { gateway: "edge", backend: "b", path: "/more" }), ...service("b", 80, [{ port: backend.port }])))
  expect(await waitFor(["service/b", "httproute/more", "gateway", "edge"])).toMatchObject({ status: 0 })
  expect((await ask({ port, path: "/more" })).status).toBe(200)
  for (let i = 0; i < 20; i++) {
    edit(2000 + i)
    expect(await waitFor([])).toMatchObject({ status: 0, text: expect.any(String) })
    expect(await version()).toBe(String(2000 + i))
  }
})

test("what does not exist has status 3 and names what is like it; what was deleted is waited for with --for delete", async () => {
  const unknown = await cli(["wait", "httproute/wev"])
  expect(unknown).toMatchObject({ code: 3, stdout: "" })
  expect(unknown.stderr).toMatch(/there is no httproute default\/wev\. Like it: .*httproute default\/web/)
  expect((await cli(["wait", "thing/x"])).code).toBe(2)
  expect((await cli(["wait", "httproute/web", "--timeout", "soon"])).code).toBe(2)
  for (let i = 0; i < 20; i++) {
    drop(world.manifests, "gone.yaml", yaml(route("gone", { gateway: "edge", backend: "a", path: "/gone", filters: [setHeader("x-gone", "1")] })))
    expect(await waitFor(["httproute/gone"])).toMatchObject({ status: 0 })
    expect((await ask({ port, path: "/gone" })).headers["x-gone"]).toBe("1")
    take(world.manifests, "gone.yaml")
    expect(await waitFor(["httproute/gone"], { for: "delete" })).toMatchObject({ status: 0 })
    expect((await ask({ port, path: "/gone" })).headers["x-gone"]).toBeUndefined()
  }
  expect(await waitFor(["httproute/gone"])).toMatchObject({ status: 3, text: expect.stringMatching(/was deleted at/) })
  expect(await waitFor(["httproute/web"], { for: "delete", timeout: 50 })).toMatchObject({ status: 1, text: expect.stringMatching(/is still in web\.yaml/) })
})

test("a version that cannot be taken is an error at once, with the note; mended, it is live", async () => {
  drop(world.manifests, "web.yaml", `${yaml(web(3000))}  rules: [ {\n`)
  const broken = await waitFor(["httproute/web"])
  expect(broken.status).toBe(1)
  expect(broken.text).toMatch(/is not taken as it is in web\.yaml, its last good version stays:\n  web\.yaml:\d+ InvalidYaml/)
  const invalid = yaml(web(3000)).replace("x-version", "x version")
  drop(world.manifests, "web.yaml", invalid)
  expect(await waitFor(["httproute/web"])).toMatchObject({ status: 1, text: expect.stringMatching(/web\.yaml:\d+ \w+: /) })
  edit(3001)
  expect(await waitFor(["httproute/web"])).toMatchObject({ status: 0 })
  expect(await version()).toBe("3001")
})

describe("who lacks what", () => {
  const frozen = async (part: "gateway" | "functions" | "adapter", run: () => Promise<void>) => {
    const pid = running.pid(part)
    process.kill(pid, "SIGSTOP")
    try {
      await run()
    } finally {
      process.kill(pid, "SIGCONT")
    }
  }

  test("a gateway that is frozen is named, with what it serves and what it should", async () => {
    await frozen("gateway", async () => {
      edit(4000)
      const late = await cli(["wait", "httproute/web", "--timeout", "1s"])
      expect(late).toMatchObject({ code: 1, stdout: "" })
      expect(late.stderr).toMatch(/httproute default\/web is not live after 1 s:\n  gateway default\/\S+ serves routes at revision \d+, not yet \d+ \(last heard of at [\d:.]+\)/)
      const [, have = 0, want = 0] = (/at revision (\d+), not yet (\d+)/.exec(late.stderr) ?? []).map(Number)
      expect(want).toBeGreaterThan(have)
    })
    expect(await waitFor(["httproute/web"])).toMatchObject({ status: 0 })
    expect(await version()).toBe("4000")
  })

  test("functions that are frozen are named, with what they have read", async () => {
    await frozen("functions", async () => {
      edit(4001)
      const late = await waitFor(["httproute/web"], { timeout: 1_500 })
      expect(late.status).toBe(1)
      expect(late.text).toMatch(/function routes has not said how far it is/)
      expect(await version()).toBe("4000")
    })
    expect(await waitFor(["httproute/web"], { timeout: 20_000 })).toMatchObject({ status: 0 })
    expect(await version()).toBe("4001")
  })

  test("an adapter that is frozen has not published what is in the file", async () => {
    await frozen("adapter", async () => {
      edit(4002)
      expect(await waitFor(["httproute/web"], { timeout: 1_500 })).toMatchObject({ status: 1, text: expect.stringMatching(/the file adapter has not published httproute default\/web as it is in web\.yaml/) })
      expect(await waitFor([], { timeout: 1_500 })).toMatchObject({ status: 1, text: expect.stringMatching(/the file adapter has not published httproute default\/web as/) })
      drop(world.manifests, "new.yaml", yaml(route("new", { gateway: "edge", backend: "a", path: "/new" })))
      expect(await waitFor(["httproute/new"], { timeout: 1_500 })).toMatchObject({ status: 1, text: expect.stringMatching(/has not published httproute default\/new/) })
    })
    expect(await waitFor(["httproute/web", "httproute/new"], { timeout: 20_000 })).toMatchObject({ status: 0 })
    expect(await version()).toBe("4002")
  })
})

test("edits that never end do not keep wait from ending, and it is never early", async () => {
  let latest = 5000
  let isOn = true
  const editor = (async () => {
    while (isOn) {
      edit(++latest)
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
  })()
  for (let i = 0; i < 20; i++) {
    const at = latest
    drop(world.manifests, "calm.yaml", yaml(route("calm", { gateway: "edge", backend: "a", path: "/calm", filters: [setHeader("x-calm", String(i))] })))
    expect(await waitFor(["httproute/calm"])).toMatchObject({ status: 0 })
    expect((await ask({ port, path: "/calm" })).headers["x-calm"]).toBe(String(i))
    const { text, status } = await waitFor(["httproute/web"])
    expect(text).toMatch(/is live/)
    expect(status).toBe(0)
    expect(Number(await version())).toBeGreaterThan(at)
  }
  isOn = false
  await editor
})

test("while functions and gateway are killed and start again, wait is right", async () => {
  for (const part of ["functions", "gateway", "functions"] as const) {
    const killed = running.kill(part)
    for (let i = 0; i < 5; i++) {
      edit(9000 + i)
      expect(await waitFor(["httproute/web"], { timeout: 20_000 })).toMatchObject({ status: 0 })
      expect(await until("the gateway answers", () => version().catch(() => undefined))).toBe(String(9000 + i))
    }
    await killed
  }
})

test("a Secret: after wait every new handshake shows the new certificate; one that cannot be used says why", async () => {
  const authority = new Authority()
  try {
    const [secure = 0] = await freePorts(1)
    const first = authority.issue(["shop.example"])
    const write = (crt: string, key: string) => drop(world.manifests, "secret.yaml", yaml(secret("tls", crt, key)))
    drop(world.manifests, "secure.yaml", yaml(httpsGateway("secure", [{ name: "https", port: secure, hostname: "shop.example", secrets: [{ name: "tls" }] }])))
    write(first.chain, keyOf(first))
    expect(await waitFor(["gateway/secure", "secret/tls"])).toMatchObject({ status: 0 })
    expect((await presented(secure, "shop.example", authority.certificate)).fingerprint256).toBe(first.fingerprint256)
    for (let i = 0; i < 25; i++) {
      const issued = authority.issue(["shop.example"])
      write(issued.chain, keyOf(issued))
      expect(await waitFor(["secret/tls"])).toMatchObject({ status: 0 })
      expect((await presented(secure, "shop.example", authority.certificate)).fingerprint256).toBe(issued.fingerprint256)
    }
    const shown = await explain(bus, { words: [`https://shop.example:${secure}/`], namespace: undefined, headers: [], gateway: undefined, output: "text", textOf: () => undefined })
    expect(shown).toMatch(/certificate secret\/default\/tls \(\w+\): shop\.example; valid 20/)
    expect(shown).not.toMatch(/PRIVATE/)
  } finally {
    authority.end()
  }
})

test("without a folder of manifests the newest there is on the bus is waited for", async () => {
  expect(await waitFor(["httproute/web"], { files: false })).toMatchObject({ status: 0 })
  expect(await waitFor(["httproute/none"], { files: false })).toMatchObject({ status: 3 })
  rmSync(join(world.manifests, "web.yaml"))
  await until("it is deleted", async () => (await waitFor(["httproute/web"], { files: false })).status === 3)
  const gone = await waitFor(["httproute/web"], { files: false, for: "delete" })
  expect(gone.text).toMatch(/^httproute default\/web is gone: deleted at/)
})

// Last: what has run once is waited for, and this one will not run again.
test("by way of a function in another process: what it adds is served after wait, and gone after wait", async () => {
  const outside = spawn(process.execPath, [join(root, "infra/cli/headgate.mjs"), "functions", join(root, "test/fixtures/outside/maintenance.ts")], { cwd: world.folder, env: { ...process.env, HEADGATE_DATA: world.data }, stdio: "ignore" })
  const ended = new Promise((resolve) => outside.once("exit", resolve))
  const shop = (closed: boolean) => drop(world.manifests, "shop.yaml", yaml(route("shop", { gateway: "edge", backend: "a", path: "/shop", ...(closed ? { labels: { maintenance: "true" } } : {}) })))
  try {
    shop(true)
    await until("it runs", async () => (await ask({ port, path: "/shop" })).status === 503, 30_000)
    for (let i = 0; i < 30; i++) {
      shop(i % 2 === 1)
      expect(await waitFor(["httproute/shop"])).toMatchObject({ status: 0 })
      expect((await ask({ port, path: "/shop" })).status).toBe(i % 2 === 1 ? 503 : 200)
    }
    const explained = await explain(bus, { words: ["httproute/shop"], namespace: undefined, headers: [], gateway: undefined, output: "text", textOf: () => undefined })
    expect(explained).toMatch(/maintenance@1/)
    expect(await explain(bus, { words: [`http://x.test:${port}/shop`], namespace: undefined, headers: [], gateway: undefined, output: "text", textOf: () => undefined })).toMatch(/overlays +of maintenance\/default\/shop\nanswer +503: the rule answers by itself/)
    outside.kill("SIGSTOP")
    shop(false)
    expect(await waitFor(["httproute/shop"], { timeout: 2_000 })).toMatchObject({ status: 1, text: expect.stringMatching(/function maintenance has not said how far it is/) })
    outside.kill("SIGCONT")
    expect(await waitFor(["httproute/shop"], { timeout: 20_000 })).toMatchObject({ status: 0 })
    expect((await ask({ port, path: "/shop" })).status).toBe(200)
  } finally {
    outside.kill("SIGKILL")
    await ended
  }
})
