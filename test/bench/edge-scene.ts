/** What the rows of the bench `edge` are made of: places, backends, the gateway and its peers. */
import { mkdirSync } from "node:fs"
import { release } from "node:os"
import { join } from "node:path"
import type { Issued } from "../fixtures/authority.ts"
import { freePorts } from "../fixtures/ports.ts"
import { LOAD_CORE, PROXY_CORE, total, unsaturated, type Candidate, type Start } from "./candidates.ts"
import type { Row } from "./edge-rows.ts"
import { envoy } from "./envoy.ts"
import { startGateway } from "./gateway.ts"
import { haproxy, nginx, nginxBackend, type Command, type Grid, type Place } from "./peers.ts"

/** What a row has. All are pinned, and end with it. */
export interface Scene {
  readonly folder: string
  readonly start: Start
  readonly issued: Issued
  readonly bundle: string
  /** Undefined: `without` says why. */
  readonly envoy: string | undefined
  readonly without: string
  readonly rounds: number
  readonly seconds: number
  readonly profile: string | undefined
  readonly versions: string
}

export const mib = (candidate: Candidate) => (total(candidate).rss / 2 ** 20).toFixed(0)

export const backendOf = async (kind: Row["backend"], { folder, start }: Scene): Promise<number> => {
  const [port = 0, other = 0] = await freePorts(2)
  if (kind === "echo") start("backend", [process.execPath, join(import.meta.dirname, "echo.ts"), "127.0.0.1", String(port)], LOAD_CORE)
  else start("backend", nginxBackend({ folder, address: "127.0.0.1", port: 0, backend: port, grid: { hosts: 0, prefixes: 0 } }, kind === "grpc" ? other : undefined), LOAD_CORE)
  return kind === "grpc" ? other : port
}

/** Makes places: each has a folder, an address and a port of its own. */
export const places = async ({ folder, issued, bundle }: Scene, backend: number, isSecure: boolean, told: Row["told"]) => {
  const ports = await freePorts(10)
  let made = 0
  return (grid: Grid): Place => {
    const index = made++
    const own = join(folder, `place-${index}`)
    mkdirSync(own)
    return { folder: own, address: `127.0.0.${2 + index}`, port: ports[index] ?? 0, backend, grid, ...told, ...(isSecure ? { tls: { certificate: issued.certificateFile, key: issued.keyFile, bundle } } : {}) }
  }
}

export const peer = ({ start }: Scene, name: string, place: Place, command: Command): Candidate => ({ name, url: `${place.tls === undefined ? "http" : "https"}://${place.address}:${place.port}`, pid: start(name, command, PROXY_CORE).pid ?? 0 })

export const commands: Readonly<Record<Row["peers"][number], (place: Place, scene: Scene) => Command>> = {
  nginx: (place) => nginx(place, "same"),
  haproxy: (place) => haproxy(place),
  envoy: (place, { envoy: program = "" }) => envoy(program, place),
}

export const gateway = (scene: Scene, place: Place, name: string, args: readonly string[] = []) =>
  startGateway(place, scene.start, { name, args, profile: scene.profile, ...(place.tls === undefined ? {} : { issued: scene.issued }) })

export const remarksOf = (scene: Scene, isBesideEnvoy: boolean, ...more: readonly string[]) => [
  ...more,
  `Kernel ${release()}; ${scene.versions}. ${scene.rounds} interleaved rounds of ${scene.seconds} s: median (min–max), ratios of the same round; the proxy has one core, load and backend the other. X-Forwarded-*, X-Request-Id and a JSON access log by all.`,
  unsaturated,
  ...(isBesideEnvoy && scene.envoy === undefined ? [`Envoy is left out: ${scene.without}.`] : []),
]
