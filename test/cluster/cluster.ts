/**
 * A real Kubernetes of one node: etcd, API server, controllers, scheduler, kubelet, proxy and containerd in namespaces
 * of their own (network, mounts, processes). All of it ends with the first process of its PID namespace.
 */
import { spawn } from "node:child_process"
import { existsSync, globSync, openSync, closeSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run } from "../../bus/server/command.ts"
import { until } from "../system/until.ts"
import { binaries, type Binaries, type Report } from "./binaries.ts"
import { commandOf, type Component, configure, environment } from "./components.ts"
import { crds } from "./crds.ts"
import { writeImages } from "./images.ts"
import { inside, makeNetwork, removeNetwork } from "./network.ts"
import { makePki } from "./pki.ts"
import { ADMIN, NODE, state } from "./place.ts"

/** Why a cluster cannot run on this machine; undefined where it can. */
export const obstacle = async (): Promise<string | undefined> => {
  if (process.platform !== "linux" || process.arch !== "x64") return "it takes Linux on x64"
  if (process.getuid?.() !== 0) return "it takes root"
  const missing = ["ip", "nsenter", "unshare", "openssl", "go", "dpkg-deb", "apt-get"].filter((name) => !(process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, name))))
  if (missing.length > 0) return `there is no ${missing.join(", ")}`
  return run("unshare", ["--net", "--mount", "--pid", "--fork", "true"], { timeout: 10_000 }).then(() => undefined, (error: unknown) => `no namespaces: ${error instanceof Error ? error.message : String(error)}`)
}

/** Pid, outside, of the first process inside; undefined while no cluster runs. */
export const runningCluster = (): number | undefined => {
  try {
    const pid = Number(readFileSync(state("init.pid"), "utf8"))
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").endsWith("\0headgate\0") ? pid : undefined
  } catch {
    return undefined
  }
}

/** Command line that runs within the cluster's node: its network, mounts and processes. */
const onNode = (init: number, ...command: readonly string[]): readonly string[] => [...inside(NODE), `--mount=/proc/${init}/ns/mnt`, `--pid=/proc/${init}/ns/pid`, "--", ...command]

const exec = ([command = "", ...args]: readonly string[], timeout = 60_000, env?: Readonly<Record<string, string>>): Promise<string> => run(command, args, { timeout, ...(env === undefined ? {} : { env }) })

/** `kubectl` as the administrator; what it printed. */
export const kubectl = async (...args: readonly string[]): Promise<string> => exec([...inside(NODE), (await binaries(() => undefined)).hyperkube, "kubectl", "--kubeconfig", ADMIN, ...args])

/** Starts it, unless it runs. Ends what it began where it fails. */
export const up = async (report: Report): Promise<void> => {
  if (runningCluster() !== undefined) return
  const why = await obstacle()
  if (why !== undefined) throw new Error(`no cluster can run here: ${why}`)
  const programs = await binaries(report)
  const definitions = await crds(report)
  const began = performance.now()
  const say = (what: string): void => report(`${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${what}`)
  await down()
  mkdirSync(state(), { recursive: true })
  // While the rest starts.
  const images = writeImages(programs, report)
  images.catch(() => undefined)
  try {
    saveSysctls()
    await makeNetwork()
    makePki()
    configure(programs)
    const init = await firstProcess(programs)
    const begin = (component: Component): void => start(init, component, programs)
    begin("etcd")
    begin("containerd")
    begin("kube-apiserver")
    await until("the API server is ready", () => kubectl("get", "--raw", "/readyz").then((answer) => answer === "ok", () => false), 60_000)
    say("API server ready")
    for (const component of ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns"] as const) begin(component)
    for (const file of definitions) await kubectl("apply", "--server-side", "-f", file)
    for (const archive of await images) await importImage(init, programs, archive)
    say("images imported")
    await until("the node is ready", () => kubectl("get", "node", "node", "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}').then((answer) => answer === "True", () => false), 60_000)
    await kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    await until("pods can be made", () => kubectl("-n", "default", "get", "serviceaccount", "default").then(() => true, () => false), 60_000)
    startAddresses()
    say("ready")
  } catch (error) {
    await down()
    throw error
  }
}

/** Ends it and removes all that it left. */
export const down = async (): Promise<void> => {
  // Those outside first: `nsenter` stands still once its process has, and would not take leave of it.
  for (const name of [...globSync("*.pid", { cwd: state() }).filter((each) => !["init.pid", "unshare.pid"].includes(each)), "init.pid"]) kill(name)
  const unshare = pidIn("unshare.pid")
  if (unshare !== undefined) await until("the cluster has ended", () => !existsSync(`/proc/${unshare}`), 30_000)
  await removeNetwork()
  for (const folder of globSync("/sys/fs/cgroup/*/kubepods/**/").concat(globSync("/sys/fs/cgroup/kubepods/**/")).sort((a, b) => b.length - a.length)) removeCgroup(folder)
  restoreSysctls()
  rmSync(state(), { recursive: true, force: true })
}

/** Puts an image into the cluster that runs. */
export const load = async (archive: string): Promise<void> => {
  const init = runningCluster()
  if (init === undefined) throw new Error("no cluster runs")
  await importImage(init, await binaries(() => undefined), archive)
}

const importImage = async (init: number, programs: Binaries, archive: string): Promise<void> => {
  const ctr = [join(programs.debian, "usr/bin/ctr"), "-n", "k8s.io"]
  await until("containerd answers", () => exec(onNode(init, ...ctr, "version")).then(() => true, () => false), 30_000)
  await exec(onNode(init, ...ctr, "images", "import", archive), 120_000)
}

const firstProcess = async ({ init }: Binaries): Promise<number> => {
  const [command = "", ...args]: readonly string[] = [...inside(NODE), "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", init, "headgate"]
  const log = openSync(state("log", "init.log"), "a")
  const child = spawn(command, args, { detached: true, stdio: ["ignore", log, log] })
  closeSync(log)
  child.unref()
  const outer = child.pid ?? 0
  const pid = await until("the first process runs", () => Number(readFileSync(`/proc/${outer}/task/${outer}/children`, "utf8").trim()) || undefined)
  writeFileSync(state("unshare.pid"), String(outer))
  writeFileSync(state("init.pid"), String(pid))
  // Mounts of pods stay inside, and nothing of the machine's /run and /var/lib is touched.
  const folders = ["var-lib", "var-log"].map((name) => state(name))
  for (const folder of folders) mkdirSync(folder, { recursive: true })
  await exec(onNode(pid, "sh", "-ec", `mount --make-rshared /; mount -t tmpfs tmpfs /run; mount --bind ${folders[0]} /var/lib; mount --bind ${folders[1]} /var/log; mkdir -p /run/netns /var/lib/kubelet`))
  return pid
}

const start = (init: number, component: Component, programs: Binaries): void => detached(component, onNode(init, ...commandOf(component, programs)), environment(programs))

const detached = (name: string, [command = "", ...args]: readonly string[], env: NodeJS.ProcessEnv): void => {
  const log = openSync(state("log", `${name}.log`), "a")
  const child = spawn(command, args, { detached: true, stdio: ["ignore", log, log], env, cwd: "/" })
  closeSync(log)
  child.unref()
  writeFileSync(state(`${name}.pid`), String(child.pid ?? ""))
}

const startAddresses = (): void => detached("addresses", [...inside(NODE), process.execPath, join(import.meta.dirname, "load-balancer.ts"), ADMIN], process.env)

const pidIn = (name: string): number | undefined => {
  try {
    return Number(readFileSync(state(name), "utf8")) || undefined
  } catch {
    return undefined
  }
}

const kill = (name: string): void => {
  const pid = pidIn(name)
  try {
    if (pid !== undefined) process.kill(pid, "SIGKILL")
  } catch {
    // It has ended.
  }
}

const removeCgroup = (folder: string): void => {
  try {
    rmdirSync(folder)
  } catch {
    // It is gone, or not empty yet: then the next cluster has it.
  }
}

/** Of the whole machine, which kubelet writes. */
const SYSCTLS = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"]

const saveSysctls = (): void => writeFileSync(state("sysctls.json"), JSON.stringify(SYSCTLS.map((name) => [name, readFileSync(`/proc/sys/${name}`, "utf8")])))

const restoreSysctls = (): void => {
  if (!existsSync(state("sysctls.json"))) return
  const saved: [string, string][] = JSON.parse(readFileSync(state("sysctls.json"), "utf8"))
  for (const [name, value] of saved) if (readFileSync(`/proc/sys/${name}`, "utf8") !== value) writeFileSync(`/proc/sys/${name}`, value)
}
