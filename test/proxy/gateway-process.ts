/**
 * `headgate gateway` in a process of its own, on a bus in its memory that holds one listener and one route to a backend:
 * for tests that ask what a gateway costs under attack, or do to it what would be seen in the test's own process.
 * Forked, this file is that process.
 */
import { fork, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { canonical } from "../../bus/canonical.ts"
import { memoryStore } from "../../bus/memory.ts"
import { configSubject } from "../../bus/subject.ts"
import { openUnit } from "../../bus/unit/writer.ts"
import { parseFlags } from "../../gateway/flags.ts"
import { startGateway } from "../../gateway/main.ts"
import { listener, match, route, rule } from "../../gateway/table/fixture.ts"
import { freePorts } from "../fixtures/ports.ts"
import { Peer } from "./scripted.ts"

/** Of the gateway's process: CPU so far, seconds; memory resident now and at most, octets. */
export interface Usage {
  readonly cpu: number
  readonly rss: number
  readonly most: number
}

export interface GatewayProcess extends AsyncDisposable {
  readonly port: number
  connect(localAddress?: string): Promise<Peer>
  usage(): Promise<Usage>
  /** By name, with labels if it has any. */
  metric(name: string): Promise<number>
  /** Of the admin port. */
  admin(path: string): Promise<Response>
}

const PLANE = "default"

/** `flags`: of `headgate gateway`, beside those that say where it is. */
export const startGatewayProcess = async (backend: number, flags: readonly string[] = []): Promise<GatewayProcess> => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-gateway-process-"))
  const [port = 0] = await freePorts(1)
  const child = fork(import.meta.filename, [String(port), String(backend), "--data", folder, ...flags], { stdio: ["ignore", "ignore", "inherit", "ipc"] })
  const [adminPort] = await next(child)
  const peers: Peer[] = []
  const admin = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${adminPort}${path}`)
  return {
    port, admin,
    connect: async (localAddress) => {
      const socket = net.connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true, ...(localAddress === undefined ? {} : { localAddress }) })
      await once(socket, "connect")
      const peer = new Peer(socket)
      peers.push(peer)
      return peer
    },
    usage: async () => {
      child.send("usage")
      const [cpu, rss, most] = await next(child)
      return { cpu, rss, most }
    },
    metric: async (name) => {
      const text = await (await admin("/metrics")).text()
      const line = text.split("\n").find((own) => own.startsWith(`headgate_${name} `))
      return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(" ")))
    },
    [Symbol.asyncDispose]: async () => {
      for (const { socket } of peers) socket.destroy()
      const gone = once(child, "exit")
      child.kill("SIGKILL")
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Numbers. */
const next = async (child: ChildProcess): Promise<readonly [number, number, number]> => {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  child.once("message", resolve)
  child.once("exit", reject)
  const message = await promise
  child.off("exit", reject)
  const numbers = Array.isArray(message) ? message.map(Number) : []
  return [numbers[0] ?? 0, numbers[1] ?? 0, numbers[2] ?? 0]
}

const run = async ([port = "", backend = "", ...flags]: readonly string[]): Promise<void> => {
  const parsed = parseFlags(["--pod", "p", "--bind", "127.0.0.1", "--admin", "127.0.0.1:0", "--access-log", "off", ...flags], {})
  if (parsed === "help") throw new TypeError("help")
  const store = memoryStore()
  const bus = store.bus()
  const open = (fn: string) => openUnit(bus, { unit: { plane: PLANE, fn }, epoch: 1, writer: "test", version: "1", onSteppedDown: () => {} })
  const [routes, endpoints] = await Promise.all([open("routes"), open("endpoints")])
  const entry = (section: string, id: string, value: unknown) => ({ subject: configSubject(PLANE, section, id), body: canonical(value), causes: [] })
  endpoints.stage([entry("cluster", "c", { schema: 1, source: { kind: "Service", namespace: "default", name: "c" }, protocol: "http", endpoints: [{ address: "127.0.0.1", port: Number(backend) }] })])
  routes.stage([
    entry("plan", "plan", { schema: 1, functions: ["endpoints", "routes"] }), entry("listener", "gw/http", listener("http", { port: Number(port) })),
    entry("route", "httproute/default/web", route("web", [rule([match("/")])], { on: "gw/http" })),
  ])
  await Promise.all([routes.settled(), endpoints.settled()])
  const gateway = await startGateway(parsed, () => {})
  gateway.attach(store.bus())
  while (!gateway.applied().ready) await new Promise((resolve) => setTimeout(resolve, 10))
  process.on("message", () => {
    const { user, system } = process.cpuUsage()
    process.send?.([(user + system) / 1e6, process.memoryUsage.rss(), process.resourceUsage().maxRSS * 1024])
  })
  process.on("disconnect", () => process.exit(0))
  process.send?.([gateway.adminPort])
}

if (process.argv[1] === import.meta.filename) await run(process.argv.slice(2))
