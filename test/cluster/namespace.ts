/** A namespace for one test file, in the cluster of KUBECONFIG. */
import { spawn } from "node:child_process"
import { run } from "../../bus/server/command.ts"
import { binaries } from "./binaries.ts"

export interface TestNamespace {
  readonly name: string
  /** In this namespace; what it printed. Rejects with its last words. */
  kubectl(...args: readonly string[]): Promise<string>
  /** Objects of this namespace, by server-side apply. */
  apply(...objects: readonly object[]): Promise<void>
  /** A field by JSONPath; "" where there is none. */
  get(kind: string, name: string, path: string): Promise<string>
  /** Deletes it with all that is in it. */
  end(): Promise<void>
}

export const namespace = async (name: string): Promise<TestNamespace> => {
  const { hyperkube } = await binaries(() => undefined)
  const kubectl = (...args: readonly string[]): Promise<string> => run(hyperkube, ["kubectl", "-n", name, ...args], { timeout: 60_000 })
  const apply = async (...objects: readonly object[]): Promise<void> => withInput(hyperkube, ["kubectl", "-n", name, "apply", "--server-side", "--force-conflicts", "-f", "-"], JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }))
  await kubectl("delete", "namespace", name, "--ignore-not-found", "--wait")
  await kubectl("create", "namespace", name)
  return {
    name, kubectl, apply,
    get: (kind, object, path) => kubectl("get", kind, object, "-o", `jsonpath=${path}`),
    end: async () => void (await kubectl("delete", "namespace", name, "--wait=false")),
  }
}

const withInput = (command: string, args: readonly string[], input: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["pipe", "ignore", "pipe"] })
    let words = ""
    child.stderr.on("data", (chunk: Buffer) => { words += chunk.toString() })
    child.once("error", reject)
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(words.trim() || `${command} ended with ${code}`))))
    child.stdin.end(input)
  })
