/**
 * Who may do what on the bus, as data, and the nats-server configuration that says so. Everything not listed is refused.
 *
 * The streams are in the account CONTROL, with a user for each part of the control plane. Each data plane has an account
 * of its own, into which exactly the requests below are imported. Not only permissions, because these see the subject
 * of a request and not where its answer goes: who may ask for anything could have the answer stored in any stream, or
 * taken for a request to purge one. The answer to an imported request never leaves the account it came from.
 */
import type { Credentials } from "../access.ts"
import type { StreamName } from "../bus.ts"
import { ASK_PROGRESS, syncedSubject } from "../hints.ts"
import { encodeToken, leaseSubject } from "../subject.ts"

export interface Rights {
  /** Follows a filter, and reads the last message of a subject under it. */
  readonly reads: readonly (readonly [stream: StreamName, filter: string])[]
  /** Reads by sequence and as of a time, which names no subject where the server could check it: the whole stream. */
  readonly readsAll?: readonly StreamName[]
  readonly publishes: readonly string[]
  /** Hints, which are not stored. */
  readonly listens?: readonly string[]
  readonly purges?: readonly StreamName[]
  /** Makes streams, and changes their limits. */
  readonly ensures?: boolean
}

/** What functions say to nobody's data plane (kinds/config.ts, which the name is not imported from because it loads Effect). */
const CONTROL_PLANE = "_"

/** What of CONFIG adapters read and carry out: what functions want to see, what should exist and be said outside, and whether it is complete. */
const CARRIED_OUT = ["wanted", "desired", "status", "function"]
/** Adapters by the name of their lease. */
const ADAPTERS = ["adapter.files", "adapter.kubernetes"]

const ALL: readonly StreamName[] = ["RESOURCES", "CONFIG", "APPLIED", "RESOURCES_HISTORY", "HISTORY", "CHECKPOINTS", "LEASES", "TRACES"]

/** People's commands, and `up`: reads everything and writes nothing but questions. */
const operator = { reads: ALL.map((stream) => [stream, ">"] as const), readsAll: ALL, publishes: [ASK_PROGRESS], listens: ["progress.>", "synced.>"], ensures: true } as const satisfies Rights

/** Users of the account CONTROL. */
export const roles = {
  operator,
  adapter: {
    reads: [["RESOURCES", "resource.>"], ...CARRIED_OUT.map((section) => ["CONFIG", `config.${encodeToken(CONTROL_PLANE)}.${section}.>`] as const), ...ADAPTERS.map((name) => ["LEASES", leaseSubject(name)] as const)],
    publishes: ["resource.>", ...ADAPTERS.map(leaseSubject), ...ADAPTERS.map(syncedSubject), "trace.adapter.>"],
    listens: [ASK_PROGRESS],
    purges: ["RESOURCES"],
    ensures: true,
  },
  functions: {
    reads: [["RESOURCES", "resource.>"], ["CONFIG", "config.>"], ["APPLIED", "applied.>"], ["HISTORY", "history.>"], ["LEASES", "lease.>"]],
    readsAll: ["RESOURCES", "CONFIG"],
    publishes: ["config.>", "history.>", "lease.*", "progress.*", "trace.functions.>"],
    listens: [ASK_PROGRESS],
    purges: ["CONFIG"],
    ensures: true,
  },
  /** Folds the history from time to time; in a cluster people run their commands in its pod. */
  history: { ...operator, publishes: ["checkpoint.>", ...operator.publishes] },
} as const satisfies Readonly<Record<string, Rights>>

/** What the gateways of one data plane may do, from its own account. */
export const gatewayRights = (plane: string): Rights => ({
  reads: [["CONFIG", `config.${encodeToken(plane)}.>`]],
  publishes: [`applied.${encodeToken(plane)}.*`, `trace.gateway.${encodeToken(plane)}.*`],
})

export const gatewayRole = (plane: string): string => `gateway.${encodeToken(plane)}`

/** All users for these data planes. */
export const roleNames = (planes: readonly string[]): readonly string[] => [...Object.keys(roles), ...planes.map(gatewayRole)]

const API = "$JS.API"
/** The name of the same requests in a data plane's account: `$JS.API` is there already, for the streams that it has not. */
const PLANE_API = "$JS.headgate.API"
/** As the store knows it too: it keeps each account in a folder of that name. */
export const CONTROL = "CONTROL"

/** Where answers come: of each user its own, so that none may listen to another's. */
const inboxOf = (role: string): string => `_INBOX.${role}`

export const credentialsOf = (role: string, password: string): Credentials => ({
  user: role, password, inboxPrefix: inboxOf(role), ...(role.startsWith("gateway.") ? { apiPrefix: PLANE_API } : {}),
})

/** Requests to JetStream, the part after the prefix. The name of a consumer is a secret of who made it (jetstream-follow.ts). */
const requests = ({ reads, readsAll = [], purges = [], ensures = false }: Rights): readonly string[] => {
  const streams = [...new Set(reads.map(([stream]) => stream))]
  return [
    "STREAM.LIST",
    ...reads.flatMap(([stream, filter]) => [`CONSUMER.CREATE.${stream}.*.${filter}`, `DIRECT.GET.${stream}.${filter}`]),
    // The filter that lets everything through is left out of the subject.
    ...reads.flatMap(([stream, filter]) => (filter === ">" ? [`CONSUMER.CREATE.${stream}.*`] : [])),
    ...streams.flatMap((stream) => [`CONSUMER.INFO.${stream}.*`, `CONSUMER.DELETE.${stream}.*`, nextOf(stream)]),
    // By a subject in the body; who reads any of it reads all of it.
    ...(streams.includes("RESOURCES") ? ["STREAM.MSG.GET.RESOURCES"] : []),
    ...readsAll.flatMap((stream) => [`DIRECT.GET.${stream}`, `STREAM.INFO.${stream}`]),
    ...purges.map((stream) => `STREAM.PURGE.${stream}`),
    // A mirror whose origin is another one is made anew.
    ...(ensures ? ["STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.UPDATE.*", "STREAM.DELETE.RESOURCES_HISTORY"] : []),
  ]
}

/** Answered by many messages. */
const nextOf = (stream: StreamName): string => `CONSUMER.MSG.NEXT.${stream}.*`
const isNext = (request: string): boolean => request.startsWith("CONSUMER.MSG.NEXT.")

interface User {
  readonly user: string
  readonly password: string
  readonly permissions: { readonly publish: { readonly allow: readonly string[] }; readonly subscribe: { readonly allow: readonly string[] } }
}

const userOf = (role: string, rights: Rights, api: string, password: string): User => ({
  user: role,
  password,
  permissions: {
    publish: { allow: [...requests(rights).map((request) => `${api}.${request}`), ...rights.publishes] },
    subscribe: { allow: [`${inboxOf(role)}.>`, ...(rights.listens ?? [])] },
  },
})

/** The account of a data plane. */
const accountOf = (plane: string): string => `PLANE_${encodeToken(plane)}`

/** What data planes may ask for in CONTROL, and which of them. */
const exportsFor = (planes: readonly string[]): readonly object[] => {
  const askers = new Map<string, string[]>()
  for (const plane of planes) {
    const rights = gatewayRights(plane)
    for (const subject of [...requests(rights).map((request) => `${API}.${request}`), ...rights.publishes]) askers.set(subject, [...(askers.get(subject) ?? []), accountOf(plane)])
  }
  return [...askers].map(([service, accounts]) => ({ service, accounts, ...(isNext(service.slice(API.length + 1)) ? { response_type: "stream" } : {}) }))
}

const planeAccount = (plane: string, password: string): object => {
  const rights = gatewayRights(plane)
  const imported = (subject: string, to: string): object => ({ service: { account: CONTROL, subject }, to })
  return {
    users: [userOf(gatewayRole(plane), rights, PLANE_API, password)],
    imports: [...requests(rights).map((request) => imported(`${API}.${request}`, `${PLANE_API}.${request}`)), ...rights.publishes.map((subject) => imported(subject, subject))],
  }
}

/** The accounts and users, as text for nats-server's `-c` (JSON, which it reads), as accountsOf. */
export const renderRoles = (planes: readonly string[], passwords: ReadonlyMap<string, string>): string => `${JSON.stringify({ accounts: accountsOf(planes, passwords) }, null, 2)}\n`

/** What nats-server's configuration calls `accounts`. `passwords` by role. Throws RangeError for a role without one. */
export const accountsOf = (planes: readonly string[], passwords: ReadonlyMap<string, string>): Readonly<Record<string, object>> => {
  const passwordOf = (role: string): string => {
    const password = passwords.get(role)
    if (password === undefined) throw new RangeError(`no password for ${role}`)
    return password
  }
  const accounts: Record<string, object> = {
    [CONTROL]: {
      jetstream: "enabled",
      users: Object.entries<Rights>(roles).map(([role, rights]) => userOf(role, rights, API, passwordOf(role))),
      exports: exportsFor(planes),
    },
  }
  for (const plane of planes) accounts[accountOf(plane)] = planeAccount(plane, passwordOf(gatewayRole(plane)))
  return accounts
}
