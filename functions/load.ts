/** What `headgate functions` was asked to run: built-in functions by name, anyone's by file. */
import { registerHooks } from "node:module"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { builtIn } from "./list.ts"
import { reconcile, type Reconciler } from "./reconcile.ts"

const isKinds = (value: unknown): boolean => Array.isArray(value) && value.every((kind: unknown) => typeof kind === "object" && kind !== null && "name" in kind && "schema" in kind && "stream" in kind)

const isReconciler = (value: unknown): value is Reconciler =>
  typeof value === "object" && value !== null && "name" in value && typeof value.name === "string" && "version" in value && typeof value.version === "string" &&
  "reads" in value && isKinds(value.reads) && "writes" in value && isKinds(value.writes) && "derive" in value && typeof value.derive === "function"

const isPath = (name: string): boolean => /[/\\]|\.[cm]?[jt]s$/.test(name)

/**
 * Makes `import … from "headgate"` mean this very program in every module loaded from now on, wherever its file is
 * and whatever is installed there: kinds are compared by identity.
 */
const serveOurselves = (): void => {
  const own = import.meta.url
  const index = new URL(`./index${own.slice(own.lastIndexOf("."))}`, own).href
  registerHooks({
    resolve: (specifier, context, nextResolve) => (specifier === "headgate" ? { url: index, shortCircuit: true } : nextResolve(specifier, context)),
  })
}

const fromFile = async (path: string): Promise<readonly Reconciler[]> => {
  const exported: unknown = await import(pathToFileURL(resolve(path)).href)
  const values: readonly unknown[] = typeof exported === "object" && exported !== null ? Object.values(exported) : []
  const found = new Set(values.filter(isReconciler))
  if (found.size === 0) throw new TypeError(`${path} exports no function: export default reconcile({ name, version, reads, writes, derive })`)
  return [...found].map(reconcile)
}

/** Names and paths; none: everything built in. Rejects with TypeError saying which name is unknown or which file holds no function. */
export const load = async (names: readonly string[]): Promise<readonly Reconciler[]> => {
  if (names.length === 0) return builtIn
  serveOurselves()
  const found: Reconciler[] = []
  for (const name of names) {
    const own = builtIn.find((fn) => fn.name === name)
    if (own !== undefined) found.push(own)
    else if (isPath(name)) found.push(...(await fromFile(name)))
    else throw new TypeError(`there is no function "${name}"; there are: ${builtIn.map((fn) => fn.name).join(", ")}, and files: ./mine.ts`)
  }
  return [...new Set(found)]
}
