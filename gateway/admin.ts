/**
 * The admin port, for people and probes; 127.0.0.1 unless told otherwise. node:http: nothing here is on the path of
 * a request.
 *
 *   GET  /healthz   200 while the process runs
 *   GET  /readyz    200 once ready, else 503 with the reason
 *   GET  /config    what is served: units, listeners, entries, notes; `?section=route&id=<id>` narrows the entries
 *   POST /reload    reads everything again from the log
 *   GET  /metrics   Prometheus text format
 */
import http from "node:http"
import type { Applied } from "../bus/kinds/applied.ts"
import { parseSubject } from "../bus/subject.ts"
import type { Units } from "./snapshot.ts"

export interface AdminOptions {
  readonly host: string
  readonly port: number
  /** Any free port where that one is taken. */
  readonly orAnother: boolean
  readonly applied: () => Applied
  /** More about the process, into /config. */
  readonly state: () => Readonly<Record<string, unknown>>
  readonly units: () => Units
  readonly reload: () => Promise<void>
  readonly metrics: () => string
}

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** Rejects when the port cannot be had, with what to do about it. */
export const listenAdmin = async (options: AdminOptions): Promise<http.Server> => {
  const server = http.createServer((request, response) => {
    replyTo(request, options).then(
      ({ status, type, body }) => response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body),
      (error: unknown) => response.writeHead(500, { "content-type": "text/plain; charset=utf-8" }).end(`${error instanceof Error ? error.message : String(error)}\n`),
    )
  })
  await new Promise<void>((resolve, reject) => {
    let orAnother = options.orAnother
    server.on("error", (error: NodeJS.ErrnoException) => {
      if (orAnother && error.code === "EADDRINUSE") {
        orAnother = false
        server.listen({ host: options.host, port: 0 })
      } else reject(new Error(`The admin port ${options.host}:${options.port} cannot be opened: ${error.code === "EADDRINUSE" ? "another process has it; choose another one with --admin" : error.message}.`, { cause: error }))
    })
    server.listen({ host: options.host, port: options.port }, resolve)
  })
  return server
}

const text = (status: number, body: string): Reply => ({ status, type: "text/plain; charset=utf-8", body: `${body}\n` })
const json = (status: number, body: string): Reply => ({ status, type: "application/json", body: `${body}\n` })

const replyTo = async (request: http.IncomingMessage, options: AdminOptions): Promise<Reply> => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://admin")
  const isGet = request.method === "GET" || request.method === "HEAD"
  if (pathname === "/reload") return request.method === "POST" ? reload(options) : text(405, "POST reloads")
  if (!isGet) return text(405, "GET only")
  switch (pathname) {
    case "/healthz":
      return text(200, "ok")
    case "/readyz": {
      const { ready, waiting } = options.applied()
      return ready ? text(200, "ready") : text(503, waiting ?? "not ready")
    }
    case "/config":
      return json(200, config(options, searchParams.get("section"), searchParams.get("id")))
    case "/metrics":
      return { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: options.metrics() }
    default:
      return text(404, "/healthz /readyz /config /reload /metrics")
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
