/**
 * The passwords and certificates of the control plane's users and of nats-server itself: in one Secret of the
 * installation, made by whichever server comes first, and kept; certificates are renewed in time. Each part mounts its
 * own keys of it and no others. The authority is in a Secret of its own: who signs for data planes mounts that.
 */
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { credentialsOf, roleNames } from "../../../bus/server.ts"
import { ApiError } from "../kubernetes/api-error.ts"
import { type ApiClient, resourcePath } from "../kubernetes/client.ts"
import { isJson, type Json, memberOf, textOf } from "../kubernetes/raw.ts"
import { clientSubject, authorityOf, currentAuthority, currentLeaf, type KeyPair, serverSubject } from "./certificates.ts"

export interface InstallationCredentials {
  /** Passwords. */
  readonly roles: ReadonlyMap<string, string>
  /** What servers show one another. */
  readonly routes: string
  /** PEM; undefined where none was asked for. */
  readonly tls: ServerTls | undefined
}

export interface ServerTls extends KeyPair {
  readonly authority: string
}

/** Keys of the Secret's data. Of each role a file of credentials (bus/access.ts), `<role>.crt` and `<role>.key`; among servers, */
export const ROUTES = "routes"
const SERVER = "server"
/** Whom all of them trust is in both Secrets; with which key it signs, in its own. */
export const AUTHORITY = { certificate: "ca.crt", key: "ca.key" } as const
export const filesOf = (who: string): { readonly certificate: string; readonly key: string } => ({ certificate: `${who}.crt`, key: `${who}.key` })

const ROLES = roleNames([])

export interface CredentialsOptions {
  readonly api: Pick<ApiClient, "request">
  readonly namespace: string
  readonly secret: string
  readonly labels: Readonly<Record<string, string>>
  /** Undefined: passwords alone. */
  readonly tls?: TlsOptions | undefined
}

export interface TlsOptions {
  /** Name of the authority's Secret. */
  readonly authority: string
  /** By which servers are reached. */
  readonly serverNames: readonly string[]
  /** Since 1970, ms. */
  readonly now: number
}

/** Makes the Secrets, what they lack since an older version made them, and what is not good for long. Rejects with ApiError. */
export const ensureCredentials = async (options: CredentialsOptions): Promise<InstallationCredentials> => {
  const { tls, secret } = options
  const certificates = tls === undefined ? () => [] : certificatesBy(await ensureAuthority(options, tls), tls)
  return credentialsIn(await ensureSecret(options, secret, (data) => new Map([...passwordsFor(data), ...certificates(data)])), tls !== undefined)
}

const ensureAuthority = async (options: CredentialsOptions, { authority, now }: TlsOptions): Promise<KeyPair> => {
  const current = (data: ReadonlyMap<string, string>): KeyPair => currentAuthority(pairIn(data, AUTHORITY), now)
  return current(await ensureSecret(options, authority, (data) => {
    const { certificate, key } = current(data)
    return new Map([[AUTHORITY.certificate, certificate], [AUTHORITY.key, key]])
  }))
}

/** Servers that begin together take turns at it: one wins each time. */
const PASSES = 10

/** Content by key of a Secret that has at least what is wanted of it, given what it has. */
const ensureSecret = async ({ api, namespace, labels }: CredentialsOptions, name: string, wanted: (data: ReadonlyMap<string, string>) => ReadonlyMap<string, string>): Promise<ReadonlyMap<string, string>> => {
  const path = resourcePath({ group: "", version: "v1", plural: "secrets", namespace })
  for (let pass = 1; ; pass++) {
    if (pass > PASSES) throw new Error(`Secret ${namespace}/${name} is not as it was written, ${PASSES} times: somebody else writes it`)
    const found = await api.request({ path: `${path}/${name}` }).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    })
    const stored = memberOf(found, "data")
    const data = new Map(Object.entries(stored).map(([key, value]) => [key, Buffer.from(textOf(value), "base64").toString("utf8")]))
    const changed = [...wanted(data)].filter(([key, content]) => data.get(key) !== content)
    if (changed.length === 0) return data
    const made = Object.fromEntries(changed.map(([key, content]) => [key, Buffer.from(content).toString("base64")]))
    try {
      // Of two that make it at once one is told so, and reads what the other has made.
      if (found === undefined) await api.request({ method: "POST", path, body: { apiVersion: "v1", kind: "Secret", metadata: { name, namespace, labels }, type: "Opaque", data: made } })
      else await api.request({ method: "PUT", path: `${path}/${name}`, body: { ...(isJson(found) ? found : {}), data: { ...stored, ...made } } })
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 409)) throw error
    }
  }
}

const passwordsFor = (data: ReadonlyMap<string, string>): readonly (readonly [string, string])[] =>
  [...ROLES, ROUTES].map((key) => {
    const content = data.get(key)
    return [key, content === undefined || passwordIn(key, content) === undefined ? newContent(key) : content] as const
  })

const certificatesBy = (authority: KeyPair, { serverNames, now }: TlsOptions) => (data: ReadonlyMap<string, string>): readonly (readonly [string, string])[] => {
  const leaves = [[SERVER, serverSubject(serverNames)] as const, ...ROLES.map((role) => [role, clientSubject(role)] as const)].flatMap(([who, subject]) => {
    const files = filesOf(who)
    const { certificate, key } = currentLeaf(authority, subject, pairIn(data, files), now)
    return [[files.certificate, certificate] as const, [files.key, key] as const]
  })
  return [[AUTHORITY.certificate, authority.certificate], ...leaves]
}

/** As the Secret is mounted; undefined where it is not, or not whole. For a start while the API server is away. */
export const mountedCredentials = (folder: string, hasTls: boolean): InstallationCredentials | undefined => {
  const { certificate, key } = filesOf(SERVER)
  const data = new Map<string, string>()
  for (const name of [...ROLES, ROUTES, ...(hasTls ? [certificate, key, AUTHORITY.certificate] : [])]) {
    try {
      data.set(name, readFileSync(join(folder, name), "utf8"))
    } catch {
      return undefined
    }
  }
  return [...ROLES, ROUTES].every((name) => passwordIn(name, data.get(name)) !== undefined) ? credentialsIn(data, hasTls) : undefined
}

/** The authority as its Secret is mounted. Throws Error for a file that cannot be read, and for what is no authority of ours. */
export const mountedAuthority = (folder: string): KeyPair => authorityOf({ certificate: readFileSync(join(folder, AUTHORITY.certificate), "utf8"), key: readFileSync(join(folder, AUTHORITY.key), "utf8") })

const pairIn = (data: ReadonlyMap<string, string>, names: { readonly certificate: string; readonly key: string }): Partial<KeyPair> => {
  const [certificate, key] = [data.get(names.certificate), data.get(names.key)]
  return certificate === undefined || key === undefined ? {} : { certificate, key }
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

const credentialsIn = (data: ReadonlyMap<string, string>, hasTls: boolean): InstallationCredentials => {
  const { certificate, key } = pairIn(data, filesOf(SERVER))
  const authority = data.get(AUTHORITY.certificate)
  return {
    roles: new Map(ROLES.map((role) => [role, passwordIn(role, data.get(role)) ?? ""])),
    routes: data.get(ROUTES) ?? "",
    tls: !hasTls || certificate === undefined || key === undefined || authority === undefined ? undefined : { certificate, key, authority },
  }
}
