/**
 * An API server and its etcd alone, on 127.0.0.1, for tests of what talks to one: real answers, real watches, no
 * nodes and no controllers. Needs neither root nor namespaces.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { KubeConfig } from "@kubernetes/client-node"
import { afterAll, beforeAll, describe, test } from "vitest"
import { parseAllDocuments } from "yaml"
import { type ApiClient, connectApi } from "../../infra/adapters/kubernetes/client.ts"
import { isJson, listOf, memberOf } from "../../infra/adapters/kubernetes/raw.ts"
import { Authority } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { until } from "../system/until.ts"
import { binaries } from "./binaries.ts"
import { crds } from "./crds.ts"

/** Declares tests on an API server of their own, which runs from the first of them to the last. Without HEADGATE_CLUSTER=1, one test that says so. */
export const onApiServer = async (what: string, suite: (server: () => ApiServer) => void, tokens?: readonly string[]): Promise<void> => {
  const declare = process.env["HEADGATE_CLUSTER"] === "1" ? await onItsOwn(suite, tokens) : leftOut
  declare(what)
}

const leftOut = (what: string): void => test(what, (context) => context.skip("it takes an API server: HEADGATE_CLUSTER=1"))

const onItsOwn = async (suite: (server: () => ApiServer) => void, tokens: readonly string[] | undefined): Promise<(what: string) => void> => {
  const { hyperkube } = await binaries((line) => console.log(line))
  return (what) => describe(what, () => { running(hyperkube, suite, tokens) })
}

const running = (hyperkube: string, suite: (server: () => ApiServer) => void, tokens: readonly string[] | undefined): void => {
  let server: ApiServer | undefined
  beforeAll(async () => { server = await startApiServer(hyperkube, tokens) })
  afterAll(() => server?.stop())
  suite(() => {
    if (server === undefined) throw new Error("the API server runs only while tests do")
    return server
  })
}

export interface ApiServer {
  readonly url: string
  /** PEM. */
  readonly authority: string
  /** A token that may do everything. */
  readonly token: string
  /** As the administrator. */
  readonly api: ApiClient
  /** Ends the API server alone, at once; etcd keeps what it holds. */
  kill(): Promise<void>
  /** After `kill`: on the same port. Resolves when it is ready. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Resolves when it is ready, about 5 s. `tokens`: more users, as lines of a static token file: `token,user,uid`. */
export const startApiServer = async (hyperkube: string, tokens: readonly string[] = []): Promise<ApiServer> => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-api-server-"))
  const authority = new Authority()
  const [etcdPort = 0, peerPort = 0, port = 0] = await freePorts(3)
  const serving = authority.issue(["127.0.0.1", "localhost"])
  const accounts = authority.issue(["service-accounts"], "rsa")
  const token = "administrator"
  writeFileSync(join(folder, "tokens.csv"), [`${token},administrator,1,system:masters`, ...tokens].map((line) => `${line}\n`).join(""))
  const begin = (name: string, ...args: readonly string[]): ChildProcess => {
    const log = openSync(join(folder, `${name}.log`), "a")
    const child = spawn(hyperkube, [name, ...args], { stdio: ["ignore", log, log] })
    closeSync(log)
    return child
  }
  const url = `https://127.0.0.1:${port}`
  const etcd = begin("etcd", "--name=test", `--data-dir=${join(folder, "etcd")}`, "--unsafe-no-fsync", "--log-level=warn", ...etcdAddresses(etcdPort, peerPort))
  const beginServer = (): ChildProcess =>
    begin(
      "kube-apiserver", `--etcd-servers=http://127.0.0.1:${etcdPort}`, "--bind-address=127.0.0.1", `--secure-port=${port}`, "--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
      "--authorization-mode=RBAC", "--profiling=false", `--token-auth-file=${join(folder, "tokens.csv")}`, `--tls-cert-file=${serving.certificateFile}`, `--tls-private-key-file=${serving.keyFile}`,
      "--service-account-issuer=https://kubernetes.default.svc", `--service-account-key-file=${accounts.keyFile}`, `--service-account-signing-key-file=${accounts.keyFile}`,
    )
  const api = connectApi(() => configOf({ server: url, authority: authority.certificate, token }))
  let server = beginServer()
  const ready = (): Promise<unknown> => until("the API server is ready", () => api.request({ path: "/api/v1/namespaces/default" }).then(() => true), 60_000)
  const stop = async (): Promise<void> => {
    await api.close()
    for (const child of [server, etcd]) await end(child)
    authority.end()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await ready()
  } catch (error) {
    const said = readFileSync(join(folder, "kube-apiserver.log"), "utf8").slice(-2000)
    await stop()
    throw new Error(`the API server did not start:\n${said}`, { cause: error })
  }
  return {
    url, token, api, stop,
    authority: authority.certificate,
    kill: () => end(server),
    restart: async () => {
      server = beginServer()
      await ready()
    },
  }
}

export interface ConfigOptions {
  readonly server: string
  /** PEM; absent: plain HTTP. */
  readonly authority?: string
  readonly token: string
}

/** What KUBECONFIG would say. */
export const configOf = ({ server, authority, token }: ConfigOptions): KubeConfig => {
  const config = new KubeConfig()
  const cluster = { name: "test", server, skipTLSVerify: authority === undefined, ...(authority === undefined ? {} : { caData: Buffer.from(authority).toString("base64") }) }
  config.loadFromOptions({ clusters: [cluster], users: [{ name: "test", token }], contexts: [{ name: "test", cluster: "test", user: "test" }], currentContext: "test" })
  return config
}

/** Definitions of resources, each of them usable when this resolves. */
export const applyDefinitions = async (api: ApiClient, files: readonly string[]): Promise<void> => {
  const names: string[] = []
  for (const file of files) {
    for (const document of parseAllDocuments(readFileSync(file, "utf8"))) {
      const object: unknown = document.toJS()
      const metadata: unknown = typeof object === "object" && object !== null && "kind" in object && object.kind === "CustomResourceDefinition" ? Reflect.get(object, "metadata") : undefined
      const name: unknown = typeof metadata === "object" && metadata !== null ? Reflect.get(metadata, "name") : undefined
      if (typeof name !== "string") continue
      names.push(name)
      await api.request({ method: "PATCH", path: `${DEFINITIONS}/${name}`, query: { fieldManager: "test", force: true }, headers: { "content-type": "application/apply-patch+yaml" }, body: object })
    }
  }
  for (const name of names) await until(`${name} is established`, () => api.request({ path: `${DEFINITIONS}/${name}` }).then((answer) => listOf(memberOf(answer, "status"), "conditions").some((each) => isJson(each) && each["type"] === "Established" && each["status"] === "True")), 30_000)
}
const DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

/** Paths of the Gateway API's definitions by their plural: `gatewayclasses`, `httproutes`, … */
export const gatewayDefinitions = async (...plurals: readonly string[]): Promise<readonly string[]> =>
  (await crds(() => undefined)).filter((file) => plurals.some((plural) => file.includes(`_${plural}.`)))

const etcdAddresses = (client: number, peer: number): readonly string[] => [
  `--listen-client-urls=http://127.0.0.1:${client}`, `--advertise-client-urls=http://127.0.0.1:${client}`,
  `--listen-peer-urls=http://127.0.0.1:${peer}`, `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`, `--initial-cluster=test=http://127.0.0.1:${peer}`,
]

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const over = new Promise((resolve) => child.once("exit", resolve))
  child.kill("SIGKILL")
  await over
}
