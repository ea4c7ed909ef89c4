/** What nats-server runs with in a cluster: ports, store, peers, and the accounts of bus/server/roles.ts. */
import { accountsOf, gatewayRole } from "../../../bus/server.ts"

export interface Settings {
  /** Of this server among its peers: the pod's. */
  readonly name: string
  readonly store: string
  /** What may be kept there, bytes; undefined: as nats-server guesses, once, from what is free as it starts: nothing where the disk is full just then. */
  readonly storeLimit?: number
  /** Routes of all servers that keep the streams together, its own among them, as HOST:PORT; none: it is alone. */
  readonly peers: readonly string[]
  /** Bound for clients and routes. */
  readonly address: string
  readonly ports: Ports
}

export interface Ports {
  readonly clients: number
  readonly routes: number
  /** Of nats-server's own state; on 127.0.0.1 alone, since it names every user. */
  readonly monitor: number
}

/** Of a StatefulSet's pods. */
export const PORTS: Ports = { clients: 4222, routes: 6222, monitor: 8222 }

/** The least that nats-server lets its clients have to go elsewhere. */
export const LAME_DUCK = 30

/** After a restart everybody comes at once, s. */
const HANDSHAKE = 5

const ROUTES_USER = "routes"

export interface Passwords {
  /** Of the control plane's roles. */
  readonly roles: ReadonlyMap<string, string>
  /** What peers show one another. */
  readonly routes: string
  /** By data plane. */
  readonly planes: ReadonlyMap<string, string>
}

/** Paths of PEM files: what the server shows, and by whom the others' have to be signed. Other content is in other files, so that a reload sees it. */
export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  readonly authority: string
}

/**
 * As text for nats-server's `-c`; the same for the same planes, in whatever order they came. Throws RangeError for a role
 * without a password. `tls`: who connects shows a certificate with the name of its user, and the user's password
 * (nats-server looks at both, 2.15.2); peers one of the same authority. Without, everything is in clear.
 */
export const renderServer = ({ name, store, storeLimit, peers, address, ports }: Settings, passwords: Passwords, tls?: TlsFiles): string => {
  const planes = [...passwords.planes].sort(([a], [b]) => (a < b ? -1 : 1))
  const all = new Map([...passwords.roles, ...planes.map(([plane, password]) => [gatewayRole(plane), password] as const)])
  const files = tls && { cert_file: tls.certificate, key_file: tls.key, ca_file: tls.authority, min_version: "1.3", timeout: HANDSHAKE }
  const cluster = {
    name: "headgate", listen: `${address}:${ports.routes}`,
    authorization: { user: ROUTES_USER, password: passwords.routes, timeout: 2 },
    routes: peers.map((peer) => `nats://${ROUTES_USER}:${encodeURIComponent(passwords.routes)}@${peer}`),
    // Pods' own addresses change with them.
    no_advertise: true,
    ...(files === undefined ? {} : { tls: { ...files, verify: true } }),
  }
  return `${JSON.stringify({
    server_name: name, listen: `${address}:${ports.clients}`, http: `127.0.0.1:${ports.monitor}`,
    jetstream: { store_dir: store, ...(storeLimit === undefined ? {} : { max_file_store: storeLimit }) },
    ...(files === undefined ? {} : { tls: { ...files, verify_and_map: true } }),
    ...(peers.length === 0 ? {} : { cluster, lame_duck_duration: `${LAME_DUCK}s` }),
    accounts: accountsOf(planes.map(([plane]) => plane), all),
  }, null, 2)}\n`
}
