/**
 * The admin port, for people; 127.0.0.1 unless told otherwise. node:http: nothing here is on the path of a request.
 *
 *   GET  /healthz   200 while the process runs
 *   GET  /readyz    200 once ready, else 503 with the reason
 *   GET  /metrics   Prometheus text format
 *   GET  /config    what is served: units, listeners, entries, notes; `?section=route&id=<id>` narrows the entries
 *   POST /reload    reads everything again from the log
 *   POST /restart   has a new process take this one's place, with its sockets; 503 with the reason where that fails
 *
 * The first three give nothing away and change nothing: anyone who can connect may ask them, and where probes come from
 * elsewhere they have a port of their own. The others are for who is on this machine, or has the token (admin-access.ts).
 */
import http from "node:http"
import type { Applied } from "../bus/kinds/applied.ts"
import { parseSubject } from "../bus/subject.ts"
import { AdminToken, refusalOf } from "./admin-access.ts"
import type { Units } from "./snapshot.ts"

export interface ProbeOptions {
  readonly host: string
  readonly port: number
  readonly applied: () => Applied
  readonly metrics: () => string | Promise<string>
  /** Listens already, there; undefined: it is opened. */
  readonly fd: number | undefined
}

export interface AdminOptions extends ProbeOptions {
  /** Any free port where that one is taken. */
  readonly orAnother: boolean
  /** File of the token for who is not on this machine; undefined: they may ask probes and metrics alone. */
  readonly tokenFile: string | undefined
  /** More about the process, into /config. */
  readonly state: () => Readonly<Record<string, unknown>>
  readonly units: () => Units
  readonly reload: () => Promise<void>
  /** Resolves with the pid of the process that serves then. */
  readonly restart: () => Promise<number>
}

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** Rejects when the port cannot be had, or the token not be read, with what to do about it. */
export const listenAdmin = async (options: AdminOptions): Promise<http.Server> => {
  const token = options.tokenFile === undefined ? undefined : new AdminToken(options.tokenFile)
  return listen("admin", options, options.orAnother, (request) => replyTo(request, options, token))
}

/** Likewise. */
export const listenProbes = (options: ProbeOptions): Promise<http.Server> =>
  listen("probes", options, false, async (request) => (await probed(request, options)) ?? text(404, "/healthz /readyz /metrics"))

const listen = async (what: "admin" | "probes", { host, port, fd }: ProbeOptions, another: boolean, reply: (request: http.IncomingMessage) => Promise<Reply>): Promise<http.Server> => {
  const server = http.createServer((request, response) => {
    reply(request).then(
      ({ status, type, body }) => response.writeHead(status, { "content-type": type, "cache-control": "no-store", ...(status === 401 ? { "www-authenticate": 'Bearer realm="headgate"' } : {}), ...(request.method === "POST" ? { connection: "close" } : {}) }).end(body),
      (error: unknown) => response.writeHead(500, { "content-type": "text/plain; charset=utf-8" }).end(`${error instanceof Error ? error.message : String(error)}\n`),
    )
  })
  await new Promise<void>((resolve, reject) => {
    let orAnother = another
    server.on("error", (error: NodeJS.ErrnoException) => {
      if (orAnother && error.code === "EADDRINUSE") {
        orAnother = false
        server.listen({ host, port: 0 })
      } else if (error.code === "EAFNOSUPPORT" && host === "::") server.listen({ host: "0.0.0.0", port })
      else reject(new Error(`The port ${host}:${port} (--${what}) cannot be opened: ${error.code === "EADDRINUSE" ? `another process has it; choose another one with --${what}` : error.message}.`, { cause: error }))
    })
    server.listen(fd === undefined ? { host, port } : { fd }, resolve)
  })
  return server
}

const text = (status: number, body: string): Reply => ({ status, type: "text/plain; charset=utf-8", body: `${body}\n` })
const json = (status: number, body: string): Reply => ({ status, type: "application/json", body: `${body}\n` })

const forAll: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/metrics"])

const urlOf = ({ url = "/" }: http.IncomingMessage): URL => new URL(url, "http://admin")

/** Undefined: another path than those of probes. */
const probed = async (request: http.IncomingMessage, options: ProbeOptions): Promise<Reply | undefined> => {
  if (request.method !== "GET" && request.method !== "HEAD") return text(405, "GET only")
  switch (urlOf(request).pathname) {
    case "/healthz":
      return text(200, "ok")
    case "/readyz": {
      const { ready, waiting } = options.applied()
      return ready ? text(200, "ready") : text(503, waiting ?? "not ready")
    }
    case "/metrics":
      return { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: await options.metrics() }
    default:
      return undefined
  }
}

const replyTo = async (request: http.IncomingMessage, options: AdminOptions, token: AdminToken | undefined): Promise<Reply> => {
  const { pathname, searchParams } = urlOf(request)
  if (!forAll.has(pathname)) {
    const refused = refusalOf(request, token)
    if (refused === 401) return text(401, token === undefined ? "for who is on this machine: ask there, or start the gateway with --admin-token-file" : "a bearer token is needed")
    if (refused === 403) return text(403, "name this machine by its address or as localhost")
  }
  if (pathname === "/reload") return request.method === "POST" ? reload(options) : text(405, "POST reloads")
  if (pathname === "/restart") return request.method === "POST" ? restart(options) : text(405, "POST restarts")
  const reply = await probed(request, options)
  if (reply !== undefined) return reply
  return pathname === "/config" ? json(200, config(options, searchParams.get("section"), searchParams.get("id"))) : text(404, "/healthz /readyz /config /reload /restart /metrics")
}

const restart = async ({ restart: again }: AdminOptions): Promise<Reply> => {
  try {
    return json(200, JSON.stringify({ restarted: true, pid: await again() }))
  } catch (error) {
    return text(503, error instanceof Error ? error.message : String(error))
  }
}

const reload = async ({ reload: again, applied }: AdminOptions): Promise<Reply> => {
  try {
    await again()
  } catch (error) {
    return text(503, error instanceof Error ? error.message : String(error))
  }
  return json(200, JSON.stringify({ reloaded: true, units: applied().units }))
}

/** Entries are canonical JSON already and go in as they are. */
const config = ({ applied, state, units }: AdminOptions, section: string | null, id: string | null): string => {
  const sections = new Map<string, string[]>()
  for (const { entries } of units().values()) {
    for (const [subject, body] of entries) {
      const parsed = parseSubject(subject)
      if (parsed?.is !== "entry" || (section !== null && parsed.section !== section) || (id !== null && parsed.id !== id)) continue
      let list = sections.get(parsed.section)
      if (list === undefined) sections.set(parsed.section, (list = []))
      list.push(`${JSON.stringify(parsed.id)}:${body}`)
    }
  }
  const entries = [...sections].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, list]) => `${JSON.stringify(name)}:{${list.sort().join(",")}}`)
  return `${JSON.stringify({ ...applied(), ...state() }).slice(0, -1)},"entries":{${entries.join(",")}}}`
}
