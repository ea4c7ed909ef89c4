/**
 * CPU of one request in each shape of traffic that an edge sees, beside nginx, haproxy and Envoy with the same table and
 * duties, each told of what the shape needs and else left as it comes. Rounds as in proxy.ts. `--only NAME` for one row.
 */
import type { ChildProcess } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Authority } from "../fixtures/authority.ts"
import { until } from "../system/until.ts"
import { columnsBeside, ended, figures, hasTools, interleaved, LOAD_CORE, PROXY_CORE, starter, version, type Candidate } from "./candidates.ts"
import { change } from "./change.ts"
import { check, grpcStatus } from "./check.ts"
import { CALL, MANY, ONE, rows, type Row } from "./edge-rows.ts"
import { backendOf, commands, gateway, mib, peer, places, remarksOf, type Scene } from "./edge-scene.ts"
import { ENVOY, findEnvoy } from "./envoy.ts"
import { profileFolder } from "./gateway.ts"
import { hotPath } from "./hot-path.ts"
import { load, writeMix } from "./load.ts"
import { hostOf } from "./peers.ts"
import { middle, option, report } from "./report.ts"

const tools = ["nginx", "haproxy", "wrk", "h2load", "curl", "taskset", "openssl"] as const

const compare = async (row: Row, scene: Scene): Promise<void> => {
  const put = row.load(scene.folder, row.grid)
  const next = await places(scene, await backendOf(row.backend, scene), row.isSecure, row.told)
  const peers = row.peers.filter((name) => name !== "envoy" || scene.envoy !== undefined)
  const candidates = [await gateway(scene, next(row.grid), "headgate")]
  for (const name of peers) {
    const place = next(row.grid)
    candidates.push(peer(scene, name, place, commands[name](place, scene)))
  }
  if (row.name === "kept") {
    const { address, port, backend } = next(row.grid)
    candidates.push({ name: "blind relay", url: `http://${address}:${port}`, pid: scene.start("relay", [process.execPath, join(import.meta.dirname, "relay.ts"), address, String(port), String(backend)], PROXY_CORE).pid ?? 0 })
  }
  const left: string[] = []
  const able: Candidate[] = []
  for (const candidate of candidates) {
    if (row.asks !== undefined && candidate.name !== "blind relay") await check(candidate, row.grid, row.asks.octets, row.asks.leaf, row.asks.args)
    if (row.told.grpc !== true || (await answersCalls(candidate))) able.push(candidate)
    else left.push(`${candidate.name} is left out: it does not answer calls over HTTP/2 to a backend of HTTP/2.`)
  }
  for (const candidate of able) await until(`${candidate.name} takes load`, () => put(candidate.url, 1).then(() => true, () => false), 15_000)
  for (const candidate of able) await put(candidate.url, Math.max(2, scene.seconds))
  const all = await interleaved(able, scene.rounds, ({ url }) => put(url, scene.seconds))
  const [reference = "nginx", second] = peers
  const at = (name: string | undefined) => all[able.findIndex((candidate) => candidate.name === name)] ?? []
  report(`Edge: ${row.title}`, ["proxy", ...columnsBeside(reference), "RSS MiB, then"],
    able.map((candidate, index) => [candidate.name, ...figures(all[index] ?? [], at(reference)), mib(candidate)]),
    remarksOf(scene, row.peers.includes("envoy"), `Budget: ${row.budget}. Noise: ${second} beside ${reference}. ${row.remark}`, ...(row.name === "kept" ? ["Blind relay: a program in Node that copies octets and knows nothing of them, the floor of any proxy in Node."] : []), ...left))
}

const answersCalls = (candidate: Candidate) => until(`${candidate.name} answers calls`, async () => (await grpcStatus(candidate, CALL)) === "0", 3_000).then(() => true, () => false)

/** Each proxy twice: with one route, and with many. */
const routes = async (scene: Scene): Promise<void> => {
  const next = await places(scene, await backendOf("nginx", scene), false, {})
  const few: Candidate[] = [await gateway(scene, next(ONE), "headgate")]
  const many: Candidate[] = [await gateway(scene, next(MANY), "headgate, 5,000")]
  for (const name of ["nginx", "haproxy", "envoy"] as const) {
    if (name === "envoy" && scene.envoy === undefined) continue
    const [small, large] = [next(ONE), next(MANY)]
    few.push(peer(scene, name, small, commands[name](small, scene)))
    many.push(peer(scene, `${name}, 5,000`, large, commands[name](large, scene)))
  }
  for (const candidate of few) await check(candidate, ONE)
  for (const candidate of many) await check(candidate, MANY)
  const mixes = [writeMix(scene.folder, ONE), writeMix(scene.folder, MANY)] as const
  const candidates = few.flatMap((candidate, index) => [candidate, many[index] ?? candidate])
  const put = (candidate: Candidate, seconds: number) => load(candidate.url, mixes[many.includes(candidate) ? 1 : 0], seconds, LOAD_CORE)
  for (const candidate of candidates) await put(candidate, Math.max(2, scene.seconds))
  const all = await interleaved(candidates, scene.rounds, (candidate) => put(candidate, scene.seconds))
  report("Edge: 5,000 routes (500 hosts × 10) over 1", ["proxy", ...columnsBeside("with 1 route"), "RSS MiB, then"],
    candidates.map((candidate, index) => [candidate.name, ...figures(all[index] ?? [], all[index - (index % 2)] ?? []), mib(candidate)]),
    remarksOf(scene, true, "Budget: 1.10 × with 1 route, aim 1.0. HTTP/1.1, kept alive, 1 KB, 64 connections; every host and prefix in scattered order."))
}

/** The same core for all workers: what having several costs, not what they are good for. */
const workers = async (scene: Scene): Promise<void> => {
  const next = await places(scene, await backendOf("nginx", scene), false, {})
  const candidates = [await gateway(scene, next(ONE), "one worker"), await gateway(scene, next(ONE), "two workers", ["--workers", "2"]), await gateway(scene, next(ONE), "one worker again")]
  for (const candidate of candidates) await check(candidate, ONE)
  const mix = writeMix(scene.folder, ONE)
  const fresh = candidates.map(mib)
  for (const { url } of candidates) await load(url, mix, Math.max(2, scene.seconds), LOAD_CORE)
  const all = await interleaved(candidates, scene.rounds, ({ url }) => load(url, mix, scene.seconds, LOAD_CORE))
  report("Edge: two workers on one core", ["gateway", ...columnsBeside("one worker"), "RSS MiB, fresh", "then"],
    candidates.map((candidate, index) => [candidate.name, ...figures(all[index] ?? [], all[0] ?? []), fresh[index] ?? "", mib(candidate)]),
    remarksOf(scene, false, `Budget: 1.05 × one worker. Noise: the same gateway again (${middle((all[2] ?? []).map(({ cpu }) => cpu))}). HTTP/1.1, kept alive, 1 KB, 64 connections.`))
}

const all: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  ...Object.fromEntries(rows.map((row) => [row.name, (scene: Scene) => compare(row, scene)])),
  routes,
  workers,
  change,
  profile: hotPath,
}

/** `--only NAME --rounds 5 --seconds 5`; `--profile FOLDER` writes CPU profiles of the gateway there. */
export const run = async (argv: readonly string[]): Promise<void> => {
  if (!hasTools(tools)) return
  const at = argv.findIndex((each) => each === "--only" || each.startsWith("--only="))
  const only = at < 0 ? undefined : (argv[at]?.split("=", 2)[1] ?? argv[at + 1] ?? "")
  if (only !== undefined && all[only] === undefined) throw new TypeError(`--only takes one of ${Object.keys(all).join(", ")}, not "${only}"`)
  const found = await findEnvoy()
  const versions = `nginx ${await version("nginx", "-v")}, haproxy ${await version("haproxy", "-v")}${"path" in found ? `, Envoy ${ENVOY}` : ""}, wrk ${await version("wrk", "-v")}, h2load ${await version("h2load", "--version")}`
  for (const [name, measure] of Object.entries(all)) {
    if (only !== undefined && name !== only) continue
    const authority = new Authority()
    const started: ChildProcess[] = []
    try {
      const folder = join(authority.folder, "bench")
      mkdirSync(folder)
      const issued = authority.issue([hostOf(0), "bench.example"])
      const bundle = join(folder, "bundle.pem")
      writeFileSync(bundle, issued.chain + readFileSync(issued.keyFile, "utf8"), { mode: 0o600 })
      await measure({
        folder, issued, bundle, versions, start: starter(folder, started), profile: profileFolder(argv), rounds: option(argv, "rounds", 5), seconds: option(argv, "seconds", 5),
        envoy: "path" in found ? found.path : undefined, without: "why" in found ? found.why : "",
      })
    } finally {
      await ended(started)
      authority.end()
    }
  }
}
