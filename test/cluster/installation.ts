/** Headgate in the cluster of KUBECONFIG, as tests need it: the one of every day, or one of a test's own that may be ill-treated. */
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { run } from "../../bus/server/command.ts"
import { readCredentials } from "../../bus/access.ts"
import type { Bus } from "../../bus/bus.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { connectApi, resourcePath, type ApiClient } from "../../infra/adapters/kubernetes/client.ts"
import { isJson, listOf, memberOf, textOf } from "../../infra/adapters/kubernetes/raw.ts"
import { until } from "../system/until.ts"
import { binaries } from "./binaries.ts"

const program = join(import.meta.dirname, "../../infra/cli/main.ts")
const headgate = (...args: readonly string[]): Promise<string> => run(process.execPath, [program, ...args], { timeout: 150_000 })

/** Class `headgate` in headgate-system; it stays for the next test file. Nothing is done where it is there as it should be. */
export const installed = (): Promise<string> => headgate("install", "--timeout", "120")

export const PARTS = ["headgate-nats", "headgate-adapter", "headgate-functions", "headgate-history"] as const
export type Part = (typeof PARTS)[number]

export interface Installation {
  /** Of the namespace, and of the GatewayClass. */
  readonly name: string
  readonly controllerName: string
  /** As the administrator. */
  readonly api: ApiClient
  /** Of a part, those that are not on their way out. */
  pods(part: Part): Promise<readonly Pod[]>
  /** As people's commands: it reads everything. To be closed by who asks for it. */
  bus(role?: "operator" | "functions"): Promise<Bus>
  end(): Promise<void>
}

/** Its own namespace, controller and class, all of one name. */
export const installation = async (name: string, ...options: readonly string[]): Promise<Installation> => {
  const controllerName = `headgate.dev/${name}`
  // Of a run that was cut short.
  await uninstalled(name)
  await headgate("install", "--namespace", name, "--controller-name", controllerName, "--gateway-class", name, "--timeout", "120", ...options)
  const api = connectApi()
  return {
    name, controllerName, api,
    pods: (part) => podsOf(api, name, `app.kubernetes.io/name=${part}`),
    bus: async (role = "operator") => {
      const [secret, service] = await Promise.all([
        api.request({ path: resourcePath({ group: "", version: "v1", plural: "secrets", namespace: name, name: "headgate-nats" }) }),
        api.request({ path: resourcePath({ group: "", version: "v1", plural: "services", namespace: name, name: "headgate-nats" }) }),
      ])
      const url = `nats://${textOf(memberOf(service, "spec")["clusterIP"])}:4222`
      // As long as the connection may be made anew.
      const folder = mkdtempSync(join(tmpdir(), "headgate-credentials-"))
      const [file = "", ca = "", cert = "", key = ""] = [role, "ca.crt", `${role}.crt`, `${role}.key`].map((name) => {
        const path = join(folder, name)
        writeFileSync(path, Buffer.from(textOf(memberOf(secret, "data")[name]), "base64"), { mode: 0o600 })
        return path
      })
      const bus = await connectBus({ url, name: "test", access: { url, ...readCredentials(file), tls: { ca, cert, key } } }).catch((error: unknown) => {
        rmSync(folder, { recursive: true })
        throw error
      })
      return { ...bus, close: () => bus.close().finally(() => { rmSync(folder, { recursive: true, force: true }) }) }
    },
    end: async () => {
      await api.close()
      await uninstalled(name)
    },
  }
}

/** With what a test has put beside it. */
const uninstalled = async (name: string): Promise<void> => {
  await headgate("uninstall", "--namespace", name)
  const { hyperkube } = await binaries(() => undefined)
  await run(hyperkube, ["kubectl", "delete", "namespace", name, "--ignore-not-found"], { timeout: 60_000 })
}

export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly isReady: boolean
  /** How often its container was started anew. */
  readonly restarts: number
  /** Of its container; "" before there is one. */
  readonly container: string
}

export const podsOf = async (api: ApiClient, namespace: string, labelSelector: string): Promise<readonly Pod[]> => {
  const answer = await api.request({ path: resourcePath({ group: "", version: "v1", plural: "pods", namespace }), query: { labelSelector } })
  return listOf(answer, "items").flatMap((item) => {
    const [metadata, status] = [memberOf(item, "metadata"), memberOf(item, "status")]
    if (metadata["deletionTimestamp"] !== undefined || !isJson(item)) return []
    const [container] = listOf(status, "containerStatuses")
    const { ready, restartCount, containerID } = isJson(container) ? container : {}
    return [{ namespace, name: textOf(metadata["name"]), uid: textOf(metadata["uid"]), isReady: ready === true, restarts: Number(restartCount ?? 0), container: textOf(containerID).replace(/^.*:\/\//, "") }]
  })
}

/** Folder of a pod's control group; of the hierarchy that counts processor time, where there are several. */
const groupOf = ({ uid, name }: Pod): string => {
  const [folder] = globSync([`/sys/fs/cgroup/cpuacct/kubepods/**/pod${uid}`, `/sys/fs/cgroup/kubepods/**/pod${uid}`])
  if (folder === undefined) throw new Error(`pod ${name} has no control group`)
  return folder
}

/** Processor time of a pod since its start, s. */
export const processorTime = (pod: Pod): number => {
  const folder = groupOf(pod)
  try {
    return Number(readFileSync(join(folder, "cpuacct.usage"), "utf8")) / 1e9
  } catch {
    return Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(folder, "cpu.stat"), "utf8"))?.[1]) / 1e6
  }
}

/** A signal to every process of the pod's container: the node is on this machine. */
export const signal = (pod: Pod, name: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void => {
  for (const pid of pidsOf(pod)) {
    try {
      process.kill(pid, name)
    } catch (error) {
      // The others end with the first one.
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error
    }
  }
}

export const pidsOf = (pod: Pod): readonly number[] =>
  readFileSync(join(groupOf(pod), pod.container, "cgroup.procs"), "utf8").trim().split("\n").filter((line) => line !== "").map(Number)

/** Until every part has as many ready pods as it should; what was started anew counts. */
export const untilReady = async (it: Installation, within = 90_000): Promise<void> => {
  await until(`${it.name} is ready`, async () => {
    for (const part of PARTS) {
      const pods = await it.pods(part)
      if (pods.length !== (part === "headgate-nats" || part === "headgate-history" ? 1 : 2) || !pods.every(({ isReady }) => isReady)) return false
    }
    return true
  }, within)
}

export const deletePod = (api: ApiClient, { namespace, name }: Pod, gracePeriodSeconds?: number): Promise<unknown> =>
  api.request({ method: "DELETE", path: resourcePath({ group: "", version: "v1", plural: "pods", namespace, name }), ...(gracePeriodSeconds === undefined ? {} : { query: { gracePeriodSeconds } }) })
