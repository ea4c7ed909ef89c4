/** A listening socket as one process hands it to the next: both have it then, with one queue of connections. */
import type net from "node:net"

export interface ListeningSocket {
  /** Who wants it: `<address>|<port>` as listeners do (listen.ts), `admin` or `probes`. */
  readonly key: string
  /** Where it is bound. */
  readonly address: string
  readonly port: number
  /** Descriptor in the process that has it, or is to have it. */
  readonly fd: number
}

/** As several workers have one each for the same address. */
export interface WorkersSocket extends ListeningSocket {
  readonly worker: number
}

/** net keeps it without telling: it stands in the handle of every platform but Windows. Throws Error where it does not. */
export const descriptorOf = (server: net.Server): number => {
  const handle: unknown = Reflect.get(server, "_handle")
  const fd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined
  if (typeof fd !== "number" || fd < 0) throw new Error("this platform does not tell the descriptors of sockets")
  return fd
}
