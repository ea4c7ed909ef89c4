/** How a process gets to the bus: the server's address, who it is, and what TLS needs. Told by the environment. */
import { readFileSync } from "node:fs"

export interface Access {
  /** Without user and password. */
  readonly url: string
  readonly user?: string
  readonly password?: string
  /** Asked at each further attempt to connect, since a password may change while a process runs; where it throws the one before stays. */
  readonly newPassword?: () => string
  /** `$JS.API` where it is left out. A data plane's account knows the part it may use by another name. */
  readonly apiPrefix?: string
  /** First tokens of every inbox; `_INBOX` where it is left out. One's own, so that nobody else may listen there. */
  readonly inboxPrefix?: string
  /** Paths of PEM files. Any of them makes TLS a must. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

/** What a file of credentials holds, as JSON. */
export interface Credentials {
  readonly user: string
  readonly password: string
  readonly apiPrefix?: string
  readonly inboxPrefix?: string
}

export const CREDENTIALS = "HEADGATE_NATS_CREDENTIALS"

const tlsFiles = { ca: "HEADGATE_NATS_CA", cert: "HEADGATE_NATS_CERT", key: "HEADGATE_NATS_KEY" } as const

/**
 * User and password of the URL, else of the file that HEADGATE_NATS_CREDENTIALS names; read at each call, so that new
 * ones count at the next connection. Throws Error for a file that cannot be read, and for a certificate without its key.
 */
export const accessOf = (url: string, env: Readonly<Record<string, string | undefined>>): Access => {
  const tls: { ca?: string; cert?: string; key?: string } = {}
  for (const name of ["ca", "cert", "key"] as const) {
    const path = env[tlsFiles[name]]
    if (path !== undefined && path !== "") tls[name] = path
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) throw new Error(`${tlsFiles.cert} and ${tlsFiles.key} belong together: a certificate is shown by who has its key`)
  const path = env[CREDENTIALS]
  const { bare, user, password } = splitUrl(url)
  return {
    url: bare,
    ...(user !== undefined ? { user, password: password ?? "" } : path !== undefined && path !== "" ? readCredentials(path) : {}),
    ...(Object.keys(tls).length > 0 ? { tls } : {}),
  }
}

/**
 * `nats://user:password@host:port` apart; the scheme is the client's business. A password that is not encoded as it
 * should be is taken as it stands: half of it must not be shown as part of the address.
 */
const splitUrl = (url: string): { readonly bare: string; readonly user?: string; readonly password?: string } => {
  const found = /^([a-z]+:\/\/)?(.*)@([^@]*)$/s.exec(url)
  if (found === null) return { bare: url }
  const [, scheme = "", who = "", rest = ""] = found
  const colon = who.indexOf(":")
  const [user, password] = colon < 0 ? [who] : [who.slice(0, colon), who.slice(colon + 1)]
  return { bare: scheme + rest, user: decoded(user), ...(password === undefined ? {} : { password: decoded(password) }) }
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What may be shown and logged. */
export const withoutPassword = (url: string): string => splitUrl(url).bare

/** Throws Error that names the file. */
export const readCredentials = (path: string): Credentials => {
  const wrong = (what: string): Error => new Error(`credentials for the bus, ${path}: ${what}`)
  const content = contentOf(path, wrong)
  let value: unknown
  try {
    value = JSON.parse(content)
  } catch {
    // What the parser says quotes the content.
    throw wrong("it is not JSON")
  }
  const text = (name: string): string | undefined => {
    const found: unknown = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined
    return typeof found === "string" ? found : undefined
  }
  const [user, password, apiPrefix, inboxPrefix] = [text("user"), text("password"), text("apiPrefix"), text("inboxPrefix")]
  if (user === undefined || password === undefined) throw wrong('it needs {"user": …, "password": …}')
  return { user, password, ...(apiPrefix === undefined ? {} : { apiPrefix }), ...(inboxPrefix === undefined ? {} : { inboxPrefix }) }
}

/** A password alone, as a Secret is mounted; a line end after it is no part of it. Throws Error that names the file. */
export const readPassword = (path: string): string => {
  const wrong = (what: string): Error => new Error(`password for the bus, ${path}: ${what}`)
  const password = contentOf(path, wrong).replace(/\r?\n$/, "")
  if (password === "") throw wrong("it is empty")
  return password
}

const contentOf = (path: string, wrong: (what: string) => Error): string => {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error))
  }
}
