/** The client against a real API server. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { KubeConfig } from "@kubernetes/client-node"
import { afterEach, beforeEach, expect, test } from "vitest"
import { configOf, onApiServer } from "../../../test/cluster/api-server.ts"
import { type FaultProxy, startFaultProxy } from "../../../test/cluster/fault-proxy.ts"
import { until } from "../../../test/system/until.ts"
import { ApiError } from "./api-error.ts"
import { type ApiClient, connectApi, resourcePath } from "./client.ts"

await onApiServer("the client of the API server", (server) => {
  let folder: string
  let proxy: FaultProxy
  let clients: ApiClient[]

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "headgate-client-"))
    proxy = await startFaultProxy({ server: server().url, authority: server().authority })
    clients = []
  })
  afterEach(async () => {
    for (const client of clients) await client.close()
    await proxy.stop()
    rmSync(folder, { recursive: true })
  })

  const connect = (load: () => KubeConfig): ApiClient => {
    const client = connectApi(load)
    clients.push(client)
    return client
  }
  const proxied = (): ApiClient => connect(() => configOf({ server: proxy.url, token: server().token }))
  const failure = (asked: Promise<unknown>): Promise<ApiError> => asked.then(() => { throw new Error("it was answered") }, (error: unknown) => {
    if (error instanceof ApiError) return error
    throw error
  })
  const configMaps = resourcePath({ group: "", version: "v1", plural: "configmaps", namespace: "default" })

  test("paths of collections, objects and their parts", () => {
    const httproutes = { group: "gateway.networking.k8s.io", version: "v1", plural: "httproutes" }
    expect([resourcePath(httproutes), resourcePath({ ...httproutes, namespace: "a", name: "b", subresource: "status" }), resourcePath({ group: "", version: "v1", plural: "services", namespace: "a" })]).toEqual([
      "/apis/gateway.networking.k8s.io/v1/httproutes", "/apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes/b/status", "/api/v1/namespaces/a/services",
    ])
  })

  test("what the API server refuses comes with its status, its reason and its words", async () => {
    const { api } = server()
    expect(await failure(api.request({ path: `${configMaps}/nowhere` }))).toMatchObject({ _tag: "ApiError", status: 404, reason: "NotFound", message: 'configmaps "nowhere" not found', retryAfter: undefined })
    await api.request({ method: "POST", path: configMaps, body: { metadata: { name: "twice" } } })
    expect(await failure(api.request({ method: "POST", path: configMaps, body: { metadata: { name: "twice" } } }))).toMatchObject({ status: 409, reason: "AlreadyExists" })
    expect(await failure(api.request({ method: "POST", path: configMaps, body: { metadata: { name: "A B" } } }))).toMatchObject({ status: 422, reason: "Invalid" })
  })

  test("how long to wait is told in milliseconds, by the header or by the Status", async () => {
    const client = proxied()
    proxy.fault = () => ({ is: "answer", status: 429, headers: { "retry-after": "3" } })
    expect((await failure(client.request({ path: "/version" }))).retryAfter).toBe(3_000)
    proxy.fault = () => ({ is: "answer", status: 503, body: { kind: "Status", code: 503, reason: "ServiceUnavailable", message: "later", details: { retryAfterSeconds: 2 } } })
    expect(await failure(client.request({ path: "/version" }))).toMatchObject({ retryAfter: 2_000, reason: "ServiceUnavailable", message: "later" })
  })

  test("no answer, half of one, and one that is no JSON are told apart from refusals", async () => {
    const client = proxied()
    proxy.fault = () => ({ is: "unanswered" })
    expect(await failure(client.request({ path: "/version", timeout: 200 }))).toMatchObject({ status: 0, reason: "Unreachable" })
    const ended = new AbortController()
    const asked = failure(client.request({ path: "/version", signal: ended.signal }))
    await until("it is asked", () => proxy.requests.length === 2)
    ended.abort()
    expect(await asked).toMatchObject({ status: 0, reason: "Aborted" })
    proxy.fault = () => ({ is: "cut", after: 10 })
    expect(await failure(client.request({ path: "/version" }))).toMatchObject({ status: 0, reason: "Unreachable" })
    proxy.fault = () => ({ is: "changed", by: (text) => text.slice(5) })
    expect(await failure(client.request({ path: "/version" }))).toMatchObject({ status: 0, reason: "NotJson" })
    proxy.fault = () => undefined
    expect(await client.request({ path: "/version" })).toMatchObject({ major: "1" })
  })

  test("a token that has been replaced is read anew as soon as the old one is refused", async () => {
    const path = join(folder, "config")
    const write = (token: string): void => writeFileSync(path, JSON.stringify({
      apiVersion: "v1", kind: "Config", "current-context": "x", contexts: [{ name: "x", context: { cluster: "x", user: "x" } }],
      clusters: [{ name: "x", cluster: { server: server().url, "certificate-authority-data": Buffer.from(server().authority).toString("base64") } }], users: [{ name: "x", user: { token } }],
    }))
    write("outdated")
    const client = connect(() => {
      const config = new KubeConfig()
      config.loadFromFile(path)
      return config
    })
    expect((await failure(client.request({ path: "/api" }))).status).toBe(401)
    write(server().token)
    // What was read when it was refused is asked once more.
    await until("it is let in", () => client.request({ path: "/api" }).then(() => true))
    expect(await client.request({ path: "/api" })).toMatchObject({ kind: "APIVersions" })
  })

  test("a watch that goes on while the process asks for more holds nobody up, and ends with its signal", async () => {
    const { api } = server()
    const end = new AbortController()
    const lines: string[] = []
    const opened = Promise.withResolvers<void>()
    const over = failure(api.lines({ path: configMaps, query: { watch: true, fieldSelector: "metadata.name=watched" }, signal: end.signal }, { line: (line) => { lines.push(line) }, opened: opened.resolve }))
    await opened.promise
    await Promise.all(Array.from({ length: 20 }, () => api.request({ path: "/version" })))
    await api.request({ method: "POST", path: configMaps, body: { metadata: { name: "watched" } } })
    await until("the event is there", () => lines.length === 1)
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ type: "ADDED", object: { metadata: { name: "watched" } } })
    end.abort()
    expect((await over).reason).toBe("Aborted")
  })

  test("an API server that ends connections, again and again, throws nothing where nobody catches it", async () => {
    const client = connect(() => configOf({ server: server().url, authority: server().authority, token: server().token }))
    const watch = (): Promise<ApiError> => failure(client.lines({ path: configMaps, query: { watch: true } }, { line: () => undefined }))
    const watches = [watch(), watch(), watch()]
    await client.request({ path: "/version" })
    await server().kill()
    for (const { reason } of await Promise.all(watches)) expect(["Unreachable", "BrokenOff"]).toContain(reason)
    expect((await failure(client.request({ path: "/version" }))).reason).toBe("Unreachable")
    await server().restart()
    expect(await client.request({ path: "/version" })).toMatchObject({ major: "1" })
  })
})

test("without anything that says where the API server is there is no client", () => {
  expect(() => connectApi(() => new KubeConfig())).toThrow("no API server is known")
})
