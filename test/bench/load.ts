/** Loads: by wrk, h2load, and programs of our own where neither can. Each runs on the core it is given, and none passes over a failed request. */
import { execFile } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { hostOf, prefixOf, type Grid } from "./peers.ts"

export interface Load {
  readonly requests: number
  /** Seconds it took. */
  readonly seconds: number
  /** ms; NaN: not known. */
  readonly p50: number
  readonly p99: number
  /** Requests without an answer, where that is not the end of the bench. */
  readonly failed?: number
}

const CONNECTIONS = 64
/** As curl sends them. */
export const requestFields = { "User-Agent": "curl/8.5.0", Accept: "*/*" } as const

export interface MixOptions {
  /** `POST` has a body of `octets`. */
  readonly method?: "GET" | "POST"
  readonly octets?: number
  /** Last segment of paths. */
  readonly leaf?: string
  /** Each on a connection of its own. */
  readonly closes?: boolean
}

/** A wrk script with every request made beforehand, each host and prefix in scattered order. 7919 is prime to what a grid has, so each comes once. */
export const writeMix = (folder: string, { hosts, prefixes }: Grid, { method = "GET", octets = 0, leaf = "item", closes = false }: MixOptions = {}): string => {
  const path = join(folder, `mix-${method}-${leaf}-${closes ? "closes" : "kept"}-${hosts}.lua`)
  const fields = Object.entries({ ...requestFields, ...(closes ? { Connection: "close" } : {}) }).map(([name, value]) => `["${name}"]="${value}"`)
  writeFileSync(path, `
local requests, at = {}, 0
function init()
  for i = 0, ${hosts * prefixes - 1} do
    local x = (i * 7919) % ${hosts * prefixes}
    local host = string.gsub("${hostOf(-1)}", "-1", math.floor(x / ${prefixes}))
    requests[i + 1] = wrk.format("${method}", string.gsub("${prefixOf(-1)}", "-1", x % ${prefixes}) .. "/${leaf}", { ["Host"] = host, ${fields.join(", ")} }${octets > 0 ? `, string.rep("x", ${octets})` : ""})
  end
end
function request() at = at % #requests + 1; return requests[at] end
`)
  return path
}

/** wrk: kept-alive connections (64) that never wait. Rejects when a single request was not answered with 2xx. */
export const load = (url: string, mix: string, seconds: number, core: number, connections = CONNECTIONS): Promise<Load> =>
  new Promise((resolve, reject) => {
    execFile("taskset", ["-c", String(core), "wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", mix, url], (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`wrk: ${error.message}\n${stderr}`))
      else if (/Non-2xx|Socket errors/.test(stdout)) reject(new Error(`requests failed at ${url}\n${stdout}`))
      else resolve(parsed(stdout))
    })
  })

const milliseconds = (output: string, share: string): number => {
  const found = new RegExp(`\\s${share}%\\s+([\\d.]+)(us|ms|s)`).exec(output)
  if (found === null) throw new Error(`wrk said no ${share} %:\n${output}`)
  return Number(found[1]) * (found[2] === "us" ? 1e-3 : found[2] === "s" ? 1e3 : 1)
}

const parsed = (output: string): Load => {
  const found = /(\d+) requests in ([\d.]+)s/.exec(output)
  if (found === null) throw new Error(`wrk said nothing of requests:\n${output}`)
  return { requests: Number(found[1]), seconds: Number(found[2]), p50: milliseconds(output, "50"), p99: milliseconds(output, "99") }
}

/** A program of ours, `<name>.ts <address> <port> <host> <path> <seconds> …`, that prints a Load. */
const program = (name: string, url: string, seconds: number, core: number, ...more: readonly string[]): Promise<Load> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const args = ["-c", String(core), process.execPath, join(import.meta.dirname, `${name}.ts`), hostname, port, hostOf(0), `${prefixOf(0)}/item`, String(seconds), ...more]
    execFile("taskset", args, (error, stdout, stderr) => {
      if (error !== null) return reject(new Error(`${name} at ${url}: ${error.message}\n${stderr}`))
      const { requests, seconds: took, p50, p99, failed = 0 }: Load = JSON.parse(stdout)
      resolve({ requests, seconds: took, p50, p99, failed })
    })
  })

/** New connections, each with a full TLS handshake. */
export const handshakes = (url: string, seconds: number, core: number): Promise<Load> => program("handshakes", url, seconds, core)
/** `rate` requests a second. A connection that is closed while it asks nothing is replaced; requests that are lost are told. */
export const atRate = (url: string, seconds: number, core: number, rate: number): Promise<Load> => program("rate", url, seconds, core, String(rate))
/** WebSocket messages there and back. */
export const messages = (url: string, seconds: number, core: number): Promise<Load> => program("messages", url, seconds, core)

/** h2load: 8 connections of HTTP/2 with 16 streams each. `body`: a file, posted; `fields`: more of the request. */
export const http2 = (url: string, seconds: number, core: number, fields: readonly string[] = [], body?: string): Promise<Load> =>
  new Promise((resolve, reject) => {
    const headers = [`:authority: ${hostOf(0)}`, ...Object.entries(requestFields).map(([name, value]) => `${name.toLowerCase()}: ${value}`), ...fields].flatMap((field) => ["-H", field])
    const args = ["-c", String(core), "h2load", "-t1", "-c8", "-m16", "-D", String(seconds), ...(body === undefined ? [] : ["-d", body]), ...headers, `${url}${prefixOf(0)}/item`]
    execFile("taskset", args, (error, stdout, stderr) => {
      const [, total, , failed] = /(\d+) done, (\d+) succeeded, (\d+) failed/.exec(stdout) ?? []
      const [, others] = /status codes: \d+ 2xx, (.*)/.exec(stdout) ?? []
      if (error !== null) reject(new Error(`h2load: ${error.message}\n${stderr}`))
      else if (total === undefined || Number(total) === 0 || Number(failed) > 0 || /[1-9]/.test(others?.replaceAll(/\dxx/g, "") ?? "?")) reject(new Error(`requests failed at ${url}\n${stdout}`))
      else resolve({ requests: Number(total), seconds, p50: Number.NaN, p99: Number.NaN })
    })
  })
