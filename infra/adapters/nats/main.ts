/**
 * `headgate nats`: nats-server in a pod of the installation, with a user for each part and each data plane. Users come
 * with their data planes, whose Secrets are watched. When nats-server ends, so does this: the kubelet starts both anew.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { findNatsServer, gatewayRole, renderRoles } from "../../../bus/server.ts"
import { delay, systemClock } from "../../../bus/unit/clock.ts"
import { connectApi, resourcePath } from "../kubernetes/client.ts"
import { isJson, listOf } from "../kubernetes/raw.ts"
import { Reflector } from "../kubernetes/reflector.ts"
import { Accounts } from "./accounts.ts"
import { PORTS, renderServer, type Settings } from "./configuration.ts"
import { ensureCredentials, type InstallationCredentials, mountedCredentials, type TlsOptions } from "./credentials.ts"
import { passwordsOf, PLANE_LABEL, planeSecretOf, type PlaneSecret } from "./planes.ts"
import { listenProbes } from "./probes.ts"
import { startServer } from "./process.ts"
import { keepRenewed, writeTls } from "./renewal.ts"
import { diskSize, StoreWatch } from "./store-watch.ts"

const HELP = `headgate nats [options]

Runs nats-server with users for the parts of the installation and for every data plane there is.

  --namespace NAME          of the installation ($HEADGATE_NAMESPACE, headgate-system)
  --watch-namespaces A,B    data planes of these alone, and of the installation's own (all)
  --secret NAME             passwords and certificates of the installation's parts; made where it is missing (headgate-nats)
  --authority NAME          Secret of who signs certificates, made where it is missing: all connections are mutual TLS then
  --mounted DIR             the same Secret, mounted, for a start while the API server is away
  --replicas 1|3            servers that keep the streams together (1)
  --set NAME                of the StatefulSet, and of the Service (headgate-nats)
  --peers NAME              of the Service that knows each of its pods by name (headgate-nats-peers)
  --store DIR               where streams are kept (/data)
  --run DIR                 configuration with passwords and keys: in memory (/run/headgate)
  --probes ADDRESS:PORT     /readyz and /healthz (:9902)
  --accounts                starts nothing: prints accounts and users, passwords included, as a NATS of yours takes them
                            for the parts and data planes there are now

Exit status: 0 ended by a signal, or to start anew after the disk was full; 1 nats-server ended or cannot start, 2 the command line is wrong.
`

const log = (level: "info" | "warning" | "error", message: string, more: Readonly<Record<string, unknown>> = {}): void =>
  void process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, part: "nats", message, ...more })}\n`)

interface Flags {
  readonly namespace: string
  readonly namespaces: readonly string[]
  readonly secret: string
  readonly tls: Omit<TlsOptions, "now"> | undefined
  readonly mounted: string | undefined
  readonly run: string
  readonly probes: { readonly host: string; readonly port: number }
  readonly printsAccounts: boolean
  readonly settings: Settings
}

/** Throws TypeError that says what is wrong. */
export const flagsOf = (argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Flags | "help" => {
  const text = { type: "string" } as const
  const { values } = parseArgs({
    args: [...argv], strict: true,
    options: { help: { type: "boolean", short: "h" }, accounts: { type: "boolean" }, namespace: text, "watch-namespaces": text, secret: text, authority: text, mounted: text, replicas: text, set: text, peers: text, store: text, run: text, probes: text },
  })
  if (values.help === true) return "help"
  const replicas = values.replicas ?? "1"
  if (!/^[13]$/.test(replicas)) throw new TypeError(`--replicas takes 1 or 3, not "${replicas}"`)
  const probes = /^(.*):(\d{1,5})$/.exec(values.probes ?? ":9902")
  if (probes === null) throw new TypeError(`--probes takes ADDRESS:PORT, not "${values.probes ?? ""}"`)
  const namespace = values.namespace ?? env["HEADGATE_NAMESPACE"] ?? "headgate-system"
  const watched = (values["watch-namespaces"] ?? "").split(",").filter((name) => name !== "")
  const { set = "headgate-nats", peers = "headgate-nats-peers" } = values
  return {
    tls: values.authority === undefined ? undefined : { authority: values.authority, serverNames: [set, `${set}.${namespace}`, `${set}.${namespace}.svc`, `*.${peers}`, `*.${peers}.${namespace}.svc`] },
    namespace, secret: values.secret ?? "headgate-nats", mounted: values.mounted, run: values.run ?? "/run/headgate",
    namespaces: watched.length === 0 ? [""] : [...new Set([namespace, ...watched])],
    probes: { host: probes[1] ?? "", port: Number(probes[2]) },
    printsAccounts: values.accounts === true,
    settings: {
      name: hostname(), store: values.store ?? "/data", address: "0.0.0.0", ports: PORTS,
      peers: replicas === "1" ? [] : Array.from({ length: Number(replicas) }, (_, ordinal) => `${set}-${ordinal}.${peers}:${PORTS.routes}`),
    },
  }
}

/** Planes' passwords as of before, for a start while the API server is away. */
const CACHE = "planes.json"

export const main = async (argv: readonly string[]): Promise<void> => {
  let flags: Flags | "help"
  try {
    flags = flagsOf(argv, process.env)
  } catch (error) {
    process.stderr.write(`headgate nats: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 2
    return
  }
  if (flags === "help") return void process.stdout.write(HELP)
  await (flags.printsAccounts ? printAccounts(flags) : supervise(flags))
}

/** Makes the Secret with the parts' passwords where it is missing, so that it is there for the installation. */
const printAccounts = async ({ namespace, namespaces, secret }: Flags): Promise<void> => {
  const api = connectApi()
  try {
    const { roles } = await ensureCredentials({ api, namespace, secret, labels: LABELS })
    const found: PlaneSecret[] = []
    for (const watched of namespaces) {
      const answer = await api.request({ path: resourcePath({ group: "", version: "v1", plural: "secrets", namespace: watched }), query: { labelSelector: PLANE_LABEL } })
      for (const item of listOf(answer, "items")) {
        const plane = isJson(item) ? planeSecretOf(item, namespace) : undefined
        if (plane !== undefined && "why" in plane) process.stderr.write(`Secret ${plane.namespace}/${plane.name} is passed over: ${plane.why}\n`)
        else if (plane !== undefined) found.push(plane)
      }
    }
    const planes = passwordsOf(found)
    process.stdout.write(renderRoles([...planes.keys()], new Map([...roles, ...[...planes].map(([plane, password]) => [gatewayRole(plane), password] as const)])))
  } finally {
    await api.close()
  }
}

const LABELS = { "app.kubernetes.io/managed-by": "headgate", "app.kubernetes.io/name": "headgate-nats" }

const supervise = async ({ namespace, namespaces, secret, tls, mounted, run, probes, settings: chosen }: Flags): Promise<void> => {
  mkdirSync(run, { recursive: true, mode: 0o700 })
  mkdirSync(chosen.store, { recursive: true })
  const settings = { ...chosen, storeLimit: await diskSize(chosen.store) }
  const api = connectApi()
  const stop = new AbortController()
  /** Its end is meant. */
  let isOver = false
  const store = new StoreWatch({
    folder: settings.store,
    onStuck: (why) => log("error", why),
    onRoom: (free) => {
      isOver = true
      log("info", `there is room again (${free}): nats-server is ended, since it stores nothing before it is started anew`)
      server.signal("SIGTERM")
    },
  })
  const probe = await listenProbes(probes, settings, () => store.why)
  const ensure = (now: number): Promise<InstallationCredentials> => ensureCredentials({ api, namespace, secret, labels: LABELS, tls: tls && { ...tls, now } })
  const credentials = (mounted === undefined ? undefined : mountedCredentials(mounted, tls !== undefined)) ?? (await credentialsWhenever(() => ensure(systemClock.wall())))
  const files = credentials.tls && writeTls(run, credentials.tls)
  const found = new Map<string, PlaneSecret>()
  /** Each namespace's own, until it is synced: a list that has not come is no list of nothing. */
  const waiting = new Set(namespaces)
  const synced = Promise.withResolvers<void>()
  let accounts: Accounts | undefined
  const changed = (): void => {
    if (waiting.size > 0) return
    const planes = passwordsOf(found.values())
    writeFileSync(join(run, CACHE), JSON.stringify([...planes]), { mode: 0o600 })
    accounts?.set(planes)
  }
  const reflectors = namespaces.map((watched) => new Reflector({
    api, path: resourcePath({ group: "", version: "v1", plural: "secrets", namespace: watched }), labelSelector: PLANE_LABEL, timing: { first: 200, max: 10_000 },
    events: {
      put: ({ key, object }) => {
        const plane = planeSecretOf(object, namespace)
        if ("why" in plane) {
          found.delete(key)
          log("warning", `Secret ${key} is passed over: ${plane.why}`)
        } else found.set(key, plane)
      },
      gone: (key) => void found.delete(key),
      batch: changed,
      synced: () => {
        waiting.delete(watched)
        if (waiting.size === 0) synced.resolve()
        changed()
      },
      trouble: (error) => { if (error !== undefined) log("warning", `data planes cannot be watched: ${error.message}`) },
    },
  }))
  for (const reflector of reflectors) reflector.start()
  await Promise.race([synced.promise, delay(systemClock, PATIENCE, stop.signal)])

  const planes = waiting.size === 0 ? passwordsOf(found.values()) : before(join(run, CACHE))
  const server = startServer({
    binary: await findNatsServer(), file: join(run, "nats.conf"), configuration: renderServer(settings, { ...credentials, planes }, files),
    log: (said, isOwn) => {
      if (OF_COURSE.test(said)) return
      process.stderr.write(`${said}\n`)
      if (isOwn) store.said(said)
    },
  })
  accounts = new Accounts({
    settings, passwords: credentials, server, planes, tls: files,
    onReloaded: (count, ms) => log("info", `data planes: ${count}`, { ms: Math.round(ms) }),
    onTrouble: (error) => log("warning", error instanceof Error ? error.message : String(error)),
  })
  const taking = accounts
  void keepRenewed({
    ensure, credentials, clock: systemClock, signal: stop.signal,
    onNew: (newest) => {
      log("info", "passwords or certificates of the installation are new, and taken up")
      taking.renew(newest, newest.tls && writeTls(run, newest.tls))
    },
    onTrouble: (error) => log("warning", `the credentials of the installation cannot be looked at: ${error instanceof Error ? error.message : String(error)}`),
  })
  changed()
  log("info", "nats-server started", { planes: planes.size, replicas: Math.max(1, settings.peers.length) })
  const onSignal = (): void => {
    if (isOver) return server.signal("SIGTERM")
    isOver = true
    // Among peers it first hands over what it leads, and asks its clients to go elsewhere.
    server.signal(settings.peers.length > 0 ? "SIGUSR2" : "SIGTERM")
  }
  process.on("SIGTERM", onSignal)
  process.on("SIGINT", onSignal)
  const how = await server.ended
  stop.abort()
  store.stop()
  for (const reflector of reflectors) reflector.stop()
  probe.close()
  await api.close()
  if (!isOver) throw new Error(`nats-server ended (${how})`)
  process.exit(0)
}

/** nats-server warns of everybody who names a user beside a certificate: here all do, for the same one, with its password. */
const OF_COURSE = /^\[\d+\] \S+ \S+ \[WRN\] User "(?:[^"\\]|\\.)*" found in connect proto, but user required from cert/

/** For the first list, ms. */
const PATIENCE = 5000
const AGAIN = 1000

/** Nothing can start without them. */
const credentialsWhenever = async (ensure: () => Promise<InstallationCredentials>): Promise<InstallationCredentials> => {
  for (;;) {
    try {
      return await ensure()
    } catch (error) {
      log("warning", `the credentials of the installation cannot be read or made: ${error instanceof Error ? error.message : String(error)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN * (0.5 + Math.random())))
  }
}

const before = (file: string): ReadonlyMap<string, string> => {
  try {
    const pairs: readonly (readonly [string, string])[] = JSON.parse(readFileSync(file, "utf8"))
    return new Map(pairs)
  } catch {
    return new Map()
  }
}
