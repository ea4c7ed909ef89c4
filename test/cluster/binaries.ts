/**
 * The programs of the cluster: Kubernetes and etcd from Go modules (minutes, once), container runtime and network tools
 * from Debian's packages. Kept in the cache by what they are built from; nothing is installed into the system.
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { run } from "../../bus/server/command.ts"
import { cache } from "./place.ts"

export type Report = (line: string) => void

export interface Binaries {
  /** etcd, kube-apiserver … kubectl by their first argument. */
  readonly hyperkube: string
  readonly init: string
  readonly coredns: string
  /** Root of unpacked packages: containerd, runc, CNI plugins, nft, iptables, conntrack. */
  readonly debian: string
}

const KUBERNETES = "v1.36.3"
const [, MAJOR, MINOR] = /^v(\d+)\.(\d+)/.exec(KUBERNETES) ?? []
const VERSION = "k8s.io/component-base/version"
const GO = { CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "-buildvcs=false" }
const FLAGS = ["-trimpath", "-p", "2"]
const LINK = `-s -w -X ${VERSION}.gitVersion=${KUBERNETES} -X ${VERSION}.gitMajor=${MAJOR} -X ${VERSION}.gitMinor=${MINOR} -X ${VERSION}.gitTreeState=clean`

export const binaries = async (report: Report): Promise<Binaries> => {
  const built = await once("tools", keyOf(tools, await run("go", ["version"], { timeout: 20_000 })), async (folder) => {
    const go = (...args: readonly string[]) => goCommand(tools, args, GO)
    await lasting(`building Kubernetes ${KUBERNETES} (about 9 minutes, the first time)`, report, go("build", ...FLAGS, "-ldflags", LINK, "-o", join(folder, "hyperkube"), "./hyperkube"))
    await go("build", ...FLAGS, "-ldflags", "-s -w", "-o", join(folder, "init"), "./init")
  })
  const dns = await once("dns", keyOf(join(import.meta.dirname, "dns")), (folder) =>
    lasting("building CoreDNS", report, goCommand(join(import.meta.dirname, "dns"), ["build", ...FLAGS, "-ldflags", "-s -w", "-o", join(folder, "coredns"), "."], GO)))
  return { hyperkube: join(built, "hyperkube"), init: join(built, "init"), coredns: join(dns, "coredns"), debian: await once("debian", shortHash(PACKAGES.join(" ")), (folder) => lasting("fetching the container runtime", report, unpackDebian(folder))) }
}

const tools = join(import.meta.dirname, "tools")

/** Runs `go` in a module's folder, at low priority; rejects with its last words. */
export const goCommand = (module: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn("nice", ["go", ...args], { cwd: module, env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "pipe"] })
    let words = ""
    child.stderr.on("data", (chunk: Buffer) => { words = (words + chunk.toString()).slice(-4000) })
    child.once("error", reject)
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(`go ${args[0]} in ${module} ended with ${code}:\n${words}`))))
  })

/** What `make` puts into a folder, unless a former run has; half of it is never seen. `key`: of what it is made from. */
export const once = async (name: string, key: string, make: (folder: string) => Promise<void>): Promise<string> => {
  const folder = join(cache(), `${name}-${key}`)
  if (existsSync(folder)) return folder
  const scratch = mkdtempSync(`${folder}.`)
  try {
    await make(scratch)
    renameSync(scratch, folder)
  } catch (error) {
    rmSync(scratch, { recursive: true, force: true })
    // Somebody else made it meanwhile.
    if (!existsSync(folder)) throw error
  }
  return folder
}

/** By the content of all files in a folder, and more. */
export const keyOf = (folder: string, ...more: readonly string[]): string =>
  shortHash(globSync("**/*.{go,mod,sum}", { cwd: folder }).sort().map((name) => `${name}\0${readFileSync(join(folder, name), "utf8")}`).join("\0"), ...more)

export const shortHash = (...texts: readonly string[]): string => createHash("sha256").update(texts.join("\0")).digest("hex").slice(0, 16)

/** Says so when it begins, each half minute, and when it is over. */
export const lasting = async <T>(what: string, report: Report, done: Promise<T>): Promise<T> => {
  const began = performance.now()
  const seconds = (): string => `${Math.round((performance.now() - began) / 1000)} s`
  report(`${what} …`)
  const timer = setInterval(() => report(`${what}: ${seconds()}`), 30_000)
  try {
    const result = await done
    report(`${what}: done in ${seconds()}`)
    return result
  } finally {
    clearInterval(timer)
  }
}

const PACKAGES = ["containerd", "runc", "containernetworking-plugins", "iptables", "nftables", "conntrack", "libnftables1", "libnftnl11", "libmnl0", "libnetfilter-conntrack3", "libnfnetlink0", "libxtables12", "libip4tc2", "libip6tc2", "libjansson4", "libedit2", "libbsd0", "libmd0", "libseccomp2"]
/** What the package iptables has links to, which its installation would make. */
const IPTABLES = ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"]

const unpackDebian = async (folder: string): Promise<void> => {
  const archives = join(folder, "archives")
  mkdirSync(archives)
  // Downloads land in the working directory.
  await run("sh", ["-c", `cd "$1" && shift && apt-get download -qq "$@"`, "sh", archives, ...PACKAGES], { timeout: 300_000 })
  for (const archive of globSync("*.deb", { cwd: archives })) await run("dpkg-deb", ["-x", join(archives, archive), folder], { timeout: 60_000 })
  rmSync(archives, { recursive: true })
  const sbin = join(folder, "usr/sbin")
  if (existsSync(join(folder, "sbin"))) cpSync(join(folder, "sbin"), sbin, { recursive: true, verbatimSymlinks: true })
  for (const name of IPTABLES) if (!existsSync(join(sbin, name))) symlinkSync("xtables-nft-multi", join(sbin, name))
}
