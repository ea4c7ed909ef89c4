/** A socket that is wanted, bound or not: where, and what became of it. */
import type net from "node:net"

/** Where a port is served. */
export interface Bound {
  readonly address: string
  /** 0: not bound, `error` says why. */
  readonly port: number
  readonly error?: string
  /** Where it is not the port that is to blame. */
  readonly reason?: "AddressNotUsable"
}

/** In place of an address: every one. */
export const ANY = "*"

export class Acceptor {
  readonly address: string
  readonly port: number
  isForAny: boolean
  /** … and for nobody else: where a connection came to is not asked, which is a system call. */
  isForAnyOnly = false
  /** undefined before the first attempt has ended. */
  bound: Bound | undefined
  server: net.Server | undefined
  retry: NodeJS.Timeout | undefined
  attempts = 0
  isClosed = false
  /** The last connection could not be accepted. */
  hasFailed = false
  /** Connections that came. */
  accepted = 0

  constructor(address: string, port: number, isForAny: boolean) {
    this.address = address
    this.port = port
    this.isForAny = isForAny
  }

  get name(): string {
    return `${this.address.includes(":") ? `[${this.address}]` : this.address}:${this.port}`
  }
}

/** One acceptor a port for any address if a door wants that, else one an address. */
export const wanted = (keys: Iterable<string>, bind: string): ReadonlyMap<string, Acceptor> => {
  const byPort = new Map<number, string[]>()
  for (const key of keys) {
    const { address, port } = partsOf(key)
    byPort.set(port, [...(byPort.get(port) ?? []), address])
  }
  const acceptors = new Map<string, Acceptor>()
  const add = (address: string, port: number, isForAny: boolean, isForAnyOnly = false): void => {
    const acceptor = new Acceptor(address, port, isForAny)
    acceptor.isForAnyOnly = isForAnyOnly
    acceptors.set(`${address}|${port}`, acceptor)
  }
  for (const [port, addresses] of byPort) {
    if (addresses.includes(ANY)) {
      add(bind, port, true, addresses.length === 1)
      // A process bound to one address by default still serves the others that were asked for by name.
      if (bind !== "::" && bind !== "0.0.0.0") for (const address of addresses) if (address !== ANY && address !== bind) add(address, port, false)
    } else for (const address of addresses) add(address, port, false)
  }
  return acceptors
}

export const partsOf = (key: string): { readonly address: string; readonly port: number } => {
  const colon = key.lastIndexOf(":")
  return { address: key.slice(0, colon), port: Number(key.slice(colon + 1)) }
}

export const reasonOf = (error: NodeJS.ErrnoException, port: number): string => {
  switch (error.code) {
    case "EADDRINUSE":
      return `port ${port} is in use by another process`
    case "EACCES":
      return `this process may not bind port ${port}`
    case "EADDRNOTAVAIL":
      return "this machine does not have the address"
    default:
      return error.message
  }
}
