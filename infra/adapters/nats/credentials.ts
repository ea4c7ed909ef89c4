/**
 * The passwords of the control plane's users, and what servers show one another: in one Secret of the installation, made
 * by whichever server comes first, with random values, and kept. Each part mounts its own key of it and no other.
 */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { credentialsOf, roleNames } from "../../../bus/server.ts"
import { ApiError } from "../kubernetes/api-error.ts"
import { type ApiClient, resourcePath } from "../kubernetes/client.ts"
import { isJson, type Json, memberOf, textOf } from "../kubernetes/raw.ts"

export interface InstallationPasswords {
  readonly roles: ReadonlyMap<string, string>
  readonly routes: string
}

/** Keys of the Secret's data: a file of credentials (bus/access.ts) for each role, and the password among servers. */
export const ROUTES = "routes"
export const credentialKeys = (): readonly string[] => [...roleNames([]), ROUTES]

export interface CredentialsOptions {
  readonly api: Pick<ApiClient, "request">
  readonly namespace: string
  readonly secret: string
  readonly labels: Readonly<Record<string, string>>
}

/** Makes the Secret, or what it lacks since an older version made it. Rejects with ApiError. */
export const ensureCredentials = async ({ api, namespace, secret, labels }: CredentialsOptions): Promise<InstallationPasswords> => {
  const path = resourcePath({ group: "", version: "v1", plural: "secrets", namespace })
  for (;;) {
    const found = await api.request({ path: `${path}/${secret}` }).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    })
    const stored = memberOf(found, "data")
    const data = new Map(Object.entries(stored).map(([key, value]) => [key, Buffer.from(textOf(value), "base64").toString("utf8")]))
    const missing = credentialKeys().filter((key) => passwordIn(key, data.get(key)) === undefined)
    if (missing.length === 0) return passwordsOf(data)
    const made = Object.fromEntries(missing.map((key) => [key, Buffer.from(newContent(key)).toString("base64")]))
    try {
      // Of two that make it at once one is told so, and reads what the other has made.
      if (found === undefined) await api.request({ method: "POST", path, body: { apiVersion: "v1", kind: "Secret", metadata: { name: secret, namespace, labels }, type: "Opaque", data: made } })
      else await api.request({ method: "PUT", path: `${path}/${secret}`, body: { ...(isJson(found) ? found : {}), data: { ...stored, ...made } } })
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 409)) throw error
    }
  }
}

/** As the Secret is mounted; undefined where it is not, or not whole. For a start while the API server is away. */
export const mountedCredentials = (folder: string): InstallationPasswords | undefined => {
  const data = new Map<string, string>()
  for (const key of credentialKeys()) {
    try {
      data.set(key, readFileSync(join(folder, key), "utf8"))
    } catch {
      return undefined
    }
    if (passwordIn(key, data.get(key)) === undefined) return undefined
  }
  return passwordsOf(data)
}

const newContent = (key: string): string => {
  const password = randomBytes(32).toString("base64url")
  return key === ROUTES ? password : JSON.stringify(credentialsOf(key, password))
}

const passwordIn = (key: string, content: string | undefined): string | undefined => {
  if (content === undefined || content === "") return undefined
  if (key === ROUTES) return content
  try {
    const parsed: Json = JSON.parse(content)
    return textOf(parsed["password"]) || undefined
  } catch {
    return undefined
  }
}

const passwordsOf = (data: ReadonlyMap<string, string>): InstallationPasswords => ({
  roles: new Map(roleNames([]).map((role) => [role, passwordIn(role, data.get(role)) ?? ""])),
  routes: data.get(ROUTES) ?? "",
})
