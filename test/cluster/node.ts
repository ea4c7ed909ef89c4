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

/** Names of the objects whose status the adapter of an installation wrote since, one for each write that was taken. */
export const statusWrites = (installation: string, plural: string, since: number): readonly string[] => {
  const log = openSync(state("log", "audit.log"), "r")
  const text = Buffer.alloc(statSync(state("log", "audit.log")).size - since)
  readSync(log, text, 0, text.length, since)
  closeSync(log)
  return text.toString().split("\n").filter((line) => line.endsWith("}")).flatMap((line) => {
    const event: unknown = JSON.parse(line)
    const [object, user, answer] = [memberOf(event, "objectRef"), memberOf(event, "user"), memberOf(event, "responseStatus")]
    if (!isJson(event) || event["verb"] !== "patch" || user["username"] !== `system:serviceaccount:${installation}:headgate-adapter`) return []
    return object["resource"] === plural && object["subresource"] === "status" && answer["code"] === 200 ? [textOf(object["name"])] : []
  })
}
