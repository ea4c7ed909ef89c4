/** The node of the cluster of `npm run cluster`, which is this machine: its processes, and what its API server was asked. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs"
import { isJson, memberOf, textOf } from "../../infra/adapters/kubernetes/raw.ts"
import { state } from "./place.ts"

/** The API server's process; another cluster's, or a test's, listens elsewhere. Throws Error where there is none. */
export const apiServerProcess = (): number => {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    const words = commandOf(name)
    if (words[1] === "kube-apiserver" && words.includes("--secure-port=6443") && words.some((word) => word.includes(state("pki")))) return Number(name)
  }
  throw new Error("no API server of npm run cluster runs on this machine")
}

const commandOf = (pid: string): readonly string[] => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
  } catch {
    return []
  }
}

/** Where in the log of what was asked the next line will be. */
export const auditPosition = (): number => statSync(state("log", "audit.log")).size

export interface Asked {
  /** `headgate-adapter` */
  readonly part: string
  readonly verb: string
  /** With a subresource: `httproutes/status`; "": it asks of no resource. */
  readonly resource: string
  /** "" where the whole cluster was asked, or the object has none. */
  readonly namespace: string
  readonly name: string
  readonly code: number
}

/** What service accounts of an installation's namespace asked the API server since, in order. */
export const asked = (installation: string, since: number): readonly Asked[] => {
  const log = openSync(state("log", "audit.log"), "r")
  const text = Buffer.alloc(statSync(state("log", "audit.log")).size - since)
  readSync(log, text, 0, text.length, since)
  closeSync(log)
  const account = `system:serviceaccount:${installation}:`
  return text.toString().split("\n").filter((line) => line.endsWith("}") && line.includes(account)).flatMap((line) => {
    const event: unknown = JSON.parse(line)
    const [object, user] = [memberOf(event, "objectRef"), textOf(memberOf(event, "user")["username"])]
    if (!isJson(event) || !user.startsWith(account)) return []
    const [resource, subresource] = [textOf(object["resource"]), textOf(object["subresource"])]
    return [{ part: user.slice(account.length), verb: textOf(event["verb"]), resource: `${resource}${subresource === "" ? "" : `/${subresource}`}`, namespace: textOf(object["namespace"]), name: textOf(object["name"]), code: Number(memberOf(event, "responseStatus")["code"]) }]
  })
}

/** Names of the objects whose status the adapter of an installation wrote since, one for each write that was taken. */
export const statusWrites = (installation: string, plural: string, since: number): readonly string[] =>
  asked(installation, since).flatMap(({ part, verb, resource, name, code }) => (part === "headgate-adapter" && verb === "patch" && resource === `${plural}/status` && code === 200 ? [name] : []))
