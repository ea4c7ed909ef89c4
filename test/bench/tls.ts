/**
 * CPU of TLS beside nginx and haproxy, with the same certificate (P-256), table and duties: of one request on a
 * connection that is kept, and of a new connection with its full handshake and one request. Rounds as in proxy.ts.
 * The gateway is the program as `up` starts it; it serves from a snapshot on disk, without a bus.
 */
import type { ChildProcess } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { release } from "node:os"
import { join } from "node:path"
import { Authority } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { columns, ended, figures, hasTools, interleaved, LOAD_CORE, PROXY_CORE, starter, total, unsaturated, version, type Candidate } from "./candidates.ts"
import { check } from "./check.ts"
import { profileFolder, startGateway } from "./gateway.ts"
import { handshakes, load, writeMix, type Load } from "./load.ts"
import { haproxy, hostOf, nginx, nginxBackend, type Command, type Grid, type Place } from "./peers.ts"
import { option, report } from "./report.ts"

const PREFIXES = 10
const tools = ["nginx", "haproxy", "wrk", "taskset", "openssl"] as const

/** `--rounds 5 --seconds 5 --routes 5000`; `--profile FOLDER` writes a CPU profile of the gateway there. */
export const run = async (argv: readonly string[]): Promise<void> => {
  if (!hasTools(tools)) return
  const rounds = option(argv, "rounds", 5)
  const seconds = option(argv, "seconds", 5)
  const grid: Grid = { hosts: Math.ceil(option(argv, "routes", 5000) / PREFIXES), prefixes: PREFIXES }
  const authority = new Authority()
  const started: ChildProcess[] = []
  try {
    const folder = join(authority.folder, "bench")
    mkdirSync(folder)
    const issued = authority.issue([hostOf(0), "bench.example"])
    const bundle = join(folder, "bundle.pem")
    writeFileSync(bundle, issued.chain + readFileSync(issued.keyFile, "utf8"), { mode: 0o600 })
    const start = starter(folder, started)
    const [backend = 0, ...ports] = await freePorts(4)
    const place = (address: string, index: number): Place => ({ folder, address, port: ports[index] ?? 0, backend, grid, tls: { certificate: issued.certificateFile, key: issued.keyFile, bundle } })
    start("backend", nginxBackend(place("127.0.0.1", 0)), LOAD_CORE)
    const peer = (name: string, at: Place, command: Command): Candidate => ({ name, url: `https://${at.address}:${at.port}`, pid: start(name, command, PROXY_CORE).pid ?? 0 })
    const candidates: readonly Candidate[] = [
      await startGateway(place("127.0.0.2", 0), start, { issued, profile: profileFolder(argv) }),
      peer("nginx", place("127.0.0.3", 1), nginx(place("127.0.0.3", 1), "same")),
      peer("haproxy", place("127.0.0.4", 2), haproxy(place("127.0.0.4", 2))),
    ]
    for (const candidate of candidates) await check(candidate, grid)
    const mix = writeMix(folder, grid)
    const shapes: readonly (readonly [name: string, load: (candidate: Candidate, seconds: number) => Promise<Load>])[] = [
      ["kept alive", ({ url }, within) => load(url, mix, within, LOAD_CORE)],
      ["full handshake each", ({ url }, within) => handshakes(url, within, LOAD_CORE)],
    ]
    const rows: (readonly string[])[] = []
    for (const [shape, put] of shapes) {
      for (const candidate of candidates) await put(candidate, Math.max(3, seconds))
      const all = await interleaved(candidates, rounds, (candidate) => put(candidate, seconds))
      candidates.forEach((candidate, index) => rows.push([shape, candidate.name, ...figures(all[index] ?? [], all[1] ?? []), (total(candidate).rss / 2 ** 20).toFixed(0)]))
    }
    const versions = `nginx ${await version("nginx", "-v")}, haproxy ${await version("haproxy", "-v")}, wrk ${await version("wrk", "-v")}`
    report("TLS: CPU of one request, and of one handshake, beside nginx and haproxy", ["shape", "proxy", ...columns, "RSS MiB, then"], rows, [
      `Kernel ${release()}; ${versions}; OpenSSL ${process.versions.openssl} in the gateway, the system's (${await version("openssl", "version")}) in the others. Budget: 1.35 × nginx kept alive, 1.3 × nginx with a handshake.`,
      `${grid.hosts * grid.prefixes} routes, ${rounds} interleaved rounds of ${seconds} s: median (min–max). One certificate, ECDSA P-256, TLS 1.3, X25519 for all.`,
      "Kept alive: 1 KB back, 64 connections of wrk, duties and logs as in the bench `proxy`. Handshake: 16 connections at a time of a client in Node that resumes no session and asks for `Connection: close`; session tickets are on in every proxy.",
      unsaturated,
    ])
  } finally {
    await ended(started)
    authority.end()
  }
}
