/** What `headgate gateway` can be told: flags, then the environment, then defaults. */
import { availableParallelism, hostname } from "node:os"
import { join } from "node:path"
import { parseArgs, type ParseArgsOptionsConfig } from "node:util"
import { type Targets, targetsOf } from "../bus/trace/targets.ts"
import { isLoopback } from "./admin-access.ts"
import { environmentOf, flagOf, parseSettings, settingNames, type Settings } from "./settings.ts"
import { type Sampler, samplerOf } from "./telemetry/sampler.ts"

export interface Flags {
  readonly plane: string
  readonly pod: string
  /** Address for listeners that name none. */
  readonly bind: string
  /** `orAnother`: any free port where that one is taken. */
  readonly admin: { readonly host: string; readonly port: number; readonly orAnother: boolean }
  /** File of the admin port's bearer token; needed where that is not on loopback. */
  readonly adminToken: string | undefined
  /** For probes and metrics from elsewhere, which the admin port is not for; undefined: none. */
  readonly probes: { readonly host: string; readonly port: number } | undefined
  /** Says who the gateway is over hot restarts; undefined: there are none. */
  readonly pidFile: string | undefined
  /** Folder of the snapshot. */
  readonly data: string
  readonly portOffset: number
  /** File of the data plane's key, with which private keys are sealed; undefined: none, HTTPS listeners have nothing to present. */
  readonly planeKey: string | undefined
  /** How long requests may finish after SIGTERM, and after a listener is gone, ms. */
  readonly drain: number
  /** How long connections are still taken after SIGTERM, ms: who sends them hears late that this pod goes. */
  readonly linger: number
  readonly natsUrl: string
  /** File of the password with which the gateways of this data plane come to the bus; undefined: as the environment says. */
  readonly natsPassword: string | undefined
  /** Undefined: tracing is off. `sampler` null: no request is traced. */
  readonly tracing: { readonly targets: Targets; readonly sampler: Sampler | null } | undefined
  /** Threads that serve; 1: the process's only one does. */
  readonly workers: number
  readonly settings: Settings
}

export const usage = `headgate gateway: serves what functions have put on the bus for one data plane

  --plane NAME                  data plane (default)
  --pod NAME                    name in acks (host name)
  --bind ADDRESS                for listeners that name no address (::)
  --admin ADDRESS:PORT          admin port (127.0.0.1:9901)
  --admin-token-file FILE       bearer token that /config, /reload and /restart take from who is not on this machine; needed where the admin
                                port is not on loopback; /healthz, /readyz and /metrics take none ($HEADGATE_ADMIN_TOKEN_FILE)
  --admin-or-another            any free port where that one is taken
  --probes ADDRESS:PORT         another port with /healthz, /readyz and /metrics alone, for who is not on this machine (none)
  --pid-file FILE               with the pid of the process that serves: SIGUSR2 to it, or POST /restart, has a new one take its sockets (none: no such restart)
  --data FOLDER                 where the snapshot is kept ($HEADGATE_DATA/gateway, .headgate/gateway)
  --port-offset-on-eacces N     ports that may not be bound are served N higher (8000; 0: not at all)
  --plane-key FILE              key of the data plane, for HTTPS: 64 hexadecimal digits or 32 octets ($HEADGATE_PLANE_KEY_FILE)
  --workers N                   threads that serve, on ports they share; auto: as many as there are processors ($HEADGATE_WORKERS, 1)
  --linger MS                   how long connections are still taken on SIGTERM, not ready and each for one answer (0)
  --drain MS                    how long requests may finish then (10000)
  --nats URL                    the bus ($HEADGATE_NATS_URL, nats://127.0.0.1:4222)
                                (as the user of $HEADGATE_NATS_CREDENTIALS; TLS: $HEADGATE_NATS_CA, _CERT, _KEY)
  --nats-password-file FILE     in place of such a user the data plane's own, with the password in the file
  --trace-requests RATIO        of requests without a W3C context of their own, 0 to 1; where tracing is on
                                ($HEADGATE_TRACES, $OTEL_EXPORTER_OTLP_ENDPOINT) ($HEADGATE_TRACE_REQUESTS, $OTEL_TRACES_SAMPLER, 0)

Limits and time-outs, in octets and milliseconds (a time-out of 0: none); --head-timeout is also HEADGATE_HEAD_TIMEOUT:
  ${settingNames.map(flagOf).join(" ")}
`

/** Throws TypeError that says what is wrong. "help" when asked for it. */
export const parseFlags = (argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Flags | "help" => {
  const options: ParseArgsOptionsConfig = { help: { type: "boolean" }, "admin-or-another": { type: "boolean" } }
  for (const name of ["plane", "pod", "bind", "admin", "admin-token-file", "probes", "pid-file", "data", "port-offset-on-eacces", "plane-key", "workers", "linger", "drain", "nats", "nats-password-file", "trace-requests"]) options[name] = { type: "string" }
  for (const name of settingNames) options[flagOf(name).slice(2)] = { type: "string" }
  const given = new Map(Object.entries(parseArgs({ args: [...argv], strict: true, options }).values))
  if (given.get("help") === true) return "help"
  const flag = (name: string): string | undefined => {
    const value = given.get(name)
    return typeof value === "string" ? value : undefined
  }
  const wholeNumber = (name: string, standard: number): number => {
    const value = flag(name)
    if (value === undefined) return standard
    if (!/^\d{1,9}$/.test(value)) throw new TypeError(`--${name}: "${value}" is not a whole number`)
    return Number(value)
  }
  const targets = targetsOf(env)
  const adminToken = fileOf(flag("admin-token-file") ?? env["HEADGATE_ADMIN_TOKEN_FILE"])
  const limits: Partial<Record<keyof Settings, string>> = {}
  for (const name of settingNames) {
    const value = flag(flagOf(name).slice(2)) ?? env[environmentOf(name)]
    if (value !== undefined) limits[name] = value
  }
  return {
    plane: flag("plane") ?? "default",
    pod: flag("pod") ?? hostname(),
    bind: flag("bind") ?? "::",
    admin: { ...adminOf(flag("admin") ?? "127.0.0.1:9901", adminToken), orAnother: given.get("admin-or-another") === true },
    adminToken,
    probes: probesOf(flag("probes")),
    pidFile: flag("pid-file"),
    data: flag("data") ?? join(env["HEADGATE_DATA"] ?? ".headgate", "gateway"),
    portOffset: wholeNumber("port-offset-on-eacces", 8000),
    planeKey: flag("plane-key") ?? env["HEADGATE_PLANE_KEY_FILE"],
    drain: wholeNumber("drain", 10_000),
    linger: wholeNumber("linger", 0),
    tracing: targets && { targets, sampler: samplerOf(flag("trace-requests") ?? (env["HEADGATE_TRACE_REQUESTS"] || undefined), env) },
    natsPassword: flag("nats-password-file"),
    natsUrl: flag("nats") ?? env["HEADGATE_NATS_URL"] ?? "nats://127.0.0.1:4222",
    workers: workersOf(flag("workers"), env),
    settings: parseSettings(limits),
  }
}

const MOST_WORKERS = 256

const workersOf = (flag: string | undefined, env: Readonly<Record<string, string | undefined>>): number => {
  const text = flag ?? (env["HEADGATE_WORKERS"] || "1")
  if (text === "auto") return availableParallelism()
  if (!/^[1-9]\d{0,2}$/.test(text) || Number(text) > MOST_WORKERS) throw new TypeError(`--workers: "${text}" is neither auto nor a whole number from 1 to ${MOST_WORKERS}`)
  return Number(text)
}

const fileOf = (name: string | undefined): string | undefined => (name === "" ? undefined : name)

const probesOf = (text: string | undefined): Flags["probes"] => (text === undefined ? undefined : addressOf("probes", text))

const adminOf = (text: string, token: string | undefined): { readonly host: string; readonly port: number } => {
  const address = addressOf("admin", text)
  if (token !== undefined || isLoopback(address.host)) return address
  throw new TypeError(`--admin ${text} can be reached from other machines: name a file with a token for it (--admin-token-file), or leave it on loopback and give probes and metrics a port of their own (--probes)`)
}

const addressOf = (of: string, text: string): { readonly host: string; readonly port: number } => {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:\s]*)):(\d{1,5})$/.exec(text)
  const port = Number(found?.[3])
  if (found === null || port > 65_535) throw new TypeError(`--${of}: "${text}" is not ADDRESS:PORT`)
  return { host: found[1] ?? (found[2] === undefined || found[2] === "" ? "127.0.0.1" : found[2]), port }
}
