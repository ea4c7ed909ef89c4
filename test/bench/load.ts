/** Load by wrk: 64 kept-alive connections that ask for every host and prefix in scattered order, never waiting. */
import { execFile } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { hostOf, prefixOf, type Grid } from "./peers.ts"

export interface Load {
  readonly requests: number
  /** Seconds it took. */
  readonly seconds: number
  /** ms */
  readonly p50: number
  readonly p99: number
}

const CONNECTIONS = 64
/** As curl sends them. */
export const requestFields = { "User-Agent": "curl/8.5.0", Accept: "*/*" } as const

/** A wrk script with the head of every request made beforehand. 7919 is prime to what a grid has, so each comes once. */
export const writeMix = (folder: string, { hosts, prefixes }: Grid): string => {
  const path = join(folder, "mix.lua")
  const fields = Object.entries(requestFields).map(([name, value]) => `["${name}"]="${value}"`)
  writeFileSync(path, `
local requests, at = {}, 0
function init()
  for i = 0, ${hosts * prefixes - 1} do
    local x = (i * 7919) % ${hosts * prefixes}
    local host = string.gsub("${hostOf(-1)}", "-1", math.floor(x / ${prefixes}))
    requests[i + 1] = wrk.format("GET", string.gsub("${prefixOf(-1)}", "-1", x % ${prefixes}) .. "/item", { ["Host"] = host, ${fields.join(", ")} })
  end
end
function request() at = at % #requests + 1; return requests[at] end
`)
  return path
}

/** Rejects when a single request was not answered with 2xx. `core`: where wrk runs. */
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
