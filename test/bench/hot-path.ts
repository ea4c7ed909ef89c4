/** Where the time of a kept-alive request goes, in the gateway and in the floor of any proxy in Node: samples by perf. */
import { execFile } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { interleaved, isInstalled, LOAD_CORE, PROXY_CORE, type Candidate } from "./candidates.ts"
import { ONE } from "./edge-rows.ts"
import { backendOf, commands, peer, places, remarksOf, type Scene } from "./edge-scene.ts"
import { startGateway } from "./gateway.ts"
import { load, writeMix } from "./load.ts"
import { middle, quantile, report } from "./report.ts"

/** Names for perf of what V8 compiles, and of what it interprets. */
const names = (folder: string) => ["--perf-basic-prof", "--interpreted-frames-native-stack", "--no-logfile-per-isolate", `--logfile=${join(folder, "v8.log")}`]

const kernel = { write: "kernel: writes, with what TCP over loopback does in them", read: "kernel: reads", wait: "kernel: waiting for events", other: "kernel: the rest" } as const
const collecting = "garbage collection"
const native = "libuv, Node's C++, V8's builtins"
const sockets = "`node:net` and its streams, in JS"
const exchange = "exchange, pools, connections, and what V8 inlines into them"
const ours: readonly (readonly [RegExp, string])[] = [
  [/\/telemetry\//, "access log, counters"],
  [/\/http1\/(write|edits)\.ts/, "head writing"],
  [/\/http1\//, "parsing"],
  [/\/(table|filters|balance)\//, "match, filters, pick"],
  [/\/(clock|server)\.ts/, "clock, deadlines"],
  [/\/(gateway|bench)\//, exchange],
]
const order = [kernel.write, kernel.read, kernel.wait, kernel.other, native, sockets, exchange, "parsing", "match, filters, pick", "head writing", "clock, deadlines", "access log, counters", collecting]

interface Frame {
  readonly symbol: string
  readonly isKernel: boolean
}

/** Innermost frame first. A function belongs to the first of ours it is called by, and system calls are the kernel's, whoever makes them. */
const phaseOf = (frames: readonly Frame[]): string => {
  const has = (pattern: RegExp) => frames.some(({ symbol }) => pattern.test(symbol))
  if (frames[0]?.isKernel === true) return has(/sys_(write|writev|sendmsg)$|^ksys_write/) ? kernel.write : has(/sys_(read|readv|recvmsg)$|^ksys_read/) ? kernel.read : has(/epoll|io_uring/) ? kernel.wait : kernel.other
  if (has(/Scaveng|MarkCompact|Sweep|ConcurrentMark|Heap::\w*Collect/)) return collecting
  for (const { symbol } of frames) {
    if (!symbol.startsWith("JS:")) continue
    const own = ours.find(([pattern]) => pattern.test(symbol))
    if (own !== undefined) return own[1]
    if (/node:(net|events|buffer|internal)/.test(symbol)) return sockets
  }
  return native
}

/** Samples by phase, of what `perf script` prints: stacks, an empty line after each. */
export const phases = (script: string): ReadonlyMap<string, number> => {
  const found = new Map<string, number>()
  for (const stack of script.split("\n\n")) {
    const frames = stack.split("\n").flatMap((line): Frame[] => {
      const [, symbol, object] = /^\s+[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \(([^()]*(?:\([^)]*\))?[^()]*)\)$/.exec(line) ?? []
      return symbol === undefined || object === undefined ? [] : [{ symbol, isKernel: object.startsWith("[kernel") || object.startsWith("[guest.kernel") }]
    })
    if (frames.length === 0) continue
    const phase = phaseOf(frames)
    found.set(phase, (found.get(phase) ?? 0) + 1)
  }
  return found
}

const perf = (args: readonly string[]) =>
  new Promise<string>((resolve, reject) => {
    execFile("perf", args, { maxBuffer: 1 << 30 }, (error, stdout, stderr) => (error === null ? resolve(stdout) : reject(new Error(`perf: ${error.message}\n${stderr}`))))
  })

export const hotPath = async (scene: Scene): Promise<void> => {
  if (!isInstalled("perf")) return console.log("The hot path is left out: perf is not installed (Debian: linux-perf).")
  const next = await places(scene, await backendOf("nginx", scene), false, {})
  const floor = next(ONE)
  const relay = scene.start("relay", [process.execPath, ...names(floor.folder), join(import.meta.dirname, "relay.ts"), floor.address, String(floor.port), String(floor.backend)], PROXY_CORE)
  const [own, beside] = [next(ONE), next(ONE)]
  const candidates: readonly Candidate[] = [
    await startGateway(own, scene.start, { flags: names(own.folder) }),
    { name: "blind relay", url: `http://${floor.address}:${floor.port}`, pid: relay.pid ?? 0 },
    peer(scene, "nginx", beside, commands.nginx(beside, scene)),
  ]
  const mix = writeMix(scene.folder, ONE)
  // As long as V8 takes to have compiled what is hot.
  for (const { url } of candidates) await load(url, mix, 2 * scene.seconds, LOAD_CORE)
  const rounds = await interleaved(candidates, scene.rounds, ({ url }) => load(url, mix, scene.seconds, LOAD_CORE))
  const samples: ReadonlyMap<string, number>[] = []
  for (const { name, url, pid } of candidates.slice(0, 2)) {
    const data = join(scene.folder, `${name}.data`)
    const recorded = perf(["record", "-q", "-e", "cpu-clock", "-F", "1999", "-g", "-p", String(pid), "-o", data, "--", "sleep", String(scene.seconds)])
    await load(url, mix, scene.seconds + 1, LOAD_CORE)
    await recorded
    samples.push(phases(await perf(["script", "-i", data, "-F", "ip,sym,dso"])))
    // Where V8 writes the names, and perf looks for them.
    rmSync(`/tmp/perf-${pid}.map`, { force: true })
  }
  const cpu = candidates.map((_, index) => quantile(rounds[index]?.map((round) => round.cpu) ?? [], 0.5))
  const shares = (phase: string) => samples.flatMap((of, index) => {
    const share = (of.get(phase) ?? 0) / [...of.values()].reduce((sum, count) => sum + count, 0)
    return share === 0 ? ["", ""] : [`${(share * 100).toFixed(1)} %`, (share * (cpu[index] ?? 0)).toFixed(1)]
  })
  report("Edge: where the time of a request goes", ["", "gateway, share", "µs", "blind relay, share", "µs"],
    [...order.map((phase) => [phase, ...shares(phase)]), ["all", "", middle(rounds[0]?.map((round) => round.cpu) ?? []), "", middle(rounds[1]?.map((round) => round.cpu) ?? [])]],
    remarksOf(scene, false, `HTTP/1.1, kept alive, 1 KB, 64 connections; nginx beside them ${middle(rounds[2]?.map((round) => round.cpu) ?? [])} µs. Blind relay: a program in Node that copies octets, with the same reads. A function that V8 has inlined counts for the one it is inlined into.`))
}
