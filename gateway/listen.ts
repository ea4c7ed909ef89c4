/**
 * Which sockets there are. A door is what a table calls a port: `<address or *>:<port>`, with an HTTP server of its
 * own. An acceptor is a bound socket; it hands each connection to the door of the address it came to, else to the
 * door for any address. So listeners share ports, a gateway for all addresses and one for a single address can share
 * a port number, and sockets can be opened anew without touching connections.
 *
 * A port that cannot be bound harms nothing else: it is noted and tried again until it can. One that this process may
 * not bind (EACCES, below 1024) is served `offset` higher, unless a listener wants that very port. A door whose
 * listeners are gone drains: it answers 404, ends its connections, and is forgotten.
 *
 * Several workers have a socket each for the same address (reusePort). What waits in one's queue is reset when that is
 * closed, although others would take it: it is closed once its queue is empty (close-emptied.ts).
 *
 * While it is held, no socket is opened or closed: what there is can be handed to a process that takes the place of this
 * one (restart/), which begins held, with those sockets, and has them accept when it is released.
 */
import fs from "node:fs"
import net from "node:net"
import { Acceptor, ANY, type Bound, partsOf, reasonOf, wanted } from "./acceptor.ts"
import { closeEmptied } from "./close-emptied.ts"
import type { Notes } from "./notes.ts"
import { descriptorOf, type ListeningSocket } from "./restart/listening-socket.ts"
import { HostIndex } from "./table/host.ts"
import { type CompiledListener, CompiledPort } from "./table/port.ts"
import type { PortTable } from "./table/table.ts"

/** gateway/server.ts, on a net.Server that never listens: connections are handed to it. */
export interface Door {
  /** Connections are still taken, for one answer each. */
  leave(): void
  /** Resolves when there is no connection, or after `milliseconds`. */
  emptied(milliseconds: number): Promise<void>
  drain(milliseconds: number): Promise<number>
}

export interface ListenOptions {
  /** For doors of any address: `::` is every address, IPv4 too. */
  readonly bind: string
  /** Added to ports that may not be bound; 0: they stay unbound. */
  readonly offset: number
  /** How long connections of a door that is gone may finish their requests, ms. */
  readonly drain: number
  readonly open: (server: net.Server, port: number, table: () => PortTable) => Door
  readonly socketOptions: net.ServerOpts
  /** Others of this process listen where this does. */
  readonly sharesPorts?: boolean
  /** Bound and listening already; held until release(). Undefined: there are none, and none is waited for. */
  readonly handed?: readonly ListeningSocket[] | undefined
  readonly notes: Notes
  /** A socket was bound, or could not be. */
  readonly onChange: () => void
}

interface OpenDoor {
  readonly server: net.Server
  readonly door: Door
  table: PortTable
}

const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 5000
/** Of the time to finish after handing over, half of it at most: for those who have not gone by themselves. */
const LAST_MS = 1000

export class Listening {
  readonly #options: ListenOptions
  readonly #doors = new Map<string, OpenDoor>()
  /** Gone, while what waited for them is still accepted. */
  readonly #closing = new Map<string, OpenDoor>()
  /** By `<address>|<port>`. */
  readonly #acceptors = new Map<string, Acceptor>()
  readonly #drains = new Set<Promise<unknown>>()
  /** Not taken yet, by key of their acceptor. */
  readonly #handed: Map<string, ListeningSocket>
  #isLeaving = false
  #isStopped = false
  #isHeld: boolean
  /** What a table asked for while held. */
  #wanted: ReadonlyMap<string, Acceptor> | undefined
  #whenTried: (() => void)[] = []

  constructor(options: ListenOptions) {
    this.#options = options
    this.#handed = new Map(options.handed?.map((socket) => [socket.key, socket]))
    this.#isHeld = options.handed !== undefined
  }

  /** Every socket wanted is bound or was tried. */
  get isSettled(): boolean {
    return this.#wanted === undefined && this.#areTried
  }

  get #areTried(): boolean {
    for (const { bound } of this.#acceptors.values()) if (bound === undefined) return false
    return true
  }

  /** Where the door of a table's port is served; undefined: not tried yet, or no such door. */
  boundAt(key: string): Bound | undefined {
    const { address, port } = partsOf(key)
    return (this.#acceptors.get(`${address}|${port}`) ?? this.#acceptors.get(`${this.#options.bind}|${port}`))?.bound
  }

  /** Takes a new table's ports, in the tick of the swap. */
  update(ports: ReadonlyMap<string, PortTable>): void {
    if (this.#isStopped) return
    for (const [key, table] of ports) {
      const open = this.#doors.get(key)
      if (open?.table.port === table.port) open.table = table
      else {
        // The same socket, for another port of the specification: what was accepted for the one ends with it.
        if (open !== undefined) this.#closeDoor(key, open)
        this.#openDoor(key, table)
      }
    }
    const gone = [...this.#doors].filter(([key]) => !ports.has(key))
    for (const [key, open] of gone) {
      this.#doors.delete(key)
      open.table = emptyPort(open.table)
    }
    const emptied = this.#bindWanted(wanted(ports.keys(), this.#options.bind))
    if (emptied.length === 0 || gone.length === 0) for (const [, open] of gone) this.#drainDoor(open)
    else {
      for (const [key, open] of gone) this.#closing.set(key, open)
      this.#draining(Promise.all(emptied).then(() => {
        for (const [key, open] of gone) {
          if (this.#closing.get(key) === open) this.#closing.delete(key)
          this.#drainDoor(open)
        }
      }))
    }
  }

  /** Leaves the sockets as they are, whatever tables want, until release(). Resolves with those that listen. Rejects where the platform does not tell their descriptors. */
  async hold(): Promise<readonly ListeningSocket[]> {
    this.#isHeld = true
    while (!this.#areTried) await new Promise<void>((resolve) => this.#whenTried.push(resolve))
    return [...this.#acceptors].flatMap(([key, { server, bound }]) => (server?.listening === true && bound !== undefined ? [{ key, address: bound.address, port: bound.port, fd: descriptorOf(server) }] : []))
  }

  /** Follows the tables again, from the sockets it was handed, where it was. */
  release(): void {
    this.#isHeld = false
    const wanted = this.#wanted
    this.#wanted = undefined
    if (wanted !== undefined) void Promise.all(this.#bindWanted(wanted))
    // Nobody asks for them any more.
    for (const { fd } of this.#handed.values()) fs.closeSync(fd)
    this.#handed.clear()
  }

  /**
   * Another process listens on these very sockets: closes them here, where nothing waits for this one alone. Who is connected gets one more answer, in its own
   * time; when there is nobody any more, or after `milliseconds`, it drains. Resolves as drain() does.
   */
  async handOver(milliseconds: number): Promise<number> {
    this.#isHeld = true
    for (const { server } of this.#acceptors.values()) server?.close()
    this.leave()
    const last = Math.min(milliseconds / 2, LAST_MS)
    await Promise.all([...this.#doors.values()].map(({ door }) => door.emptied(milliseconds - last)))
    return this.drain(last)
  }

  /** Clients are to go elsewhere; who comes all the same is served. */
  leave(): void {
    this.#isLeaving = true
    for (const { door } of this.#doors.values()) door.leave()
  }

  /** Takes no more connections, lets requests finish for at most `milliseconds`, cuts the rest. Resolves with how many. */
  async drain(milliseconds: number): Promise<number> {
    this.#isStopped = true
    const emptied = [...this.#acceptors.values()].map((acceptor) => this.#close(acceptor)).filter((one) => one !== null)
    if (emptied.length > 0) await Promise.all(emptied)
    const cut = await Promise.all([...this.#doors.values()].map(({ door }) => door.drain(milliseconds)))
    // The end of one may be the start of another: doors drain once their sockets are closed.
    while (this.#drains.size > 0) await Promise.all(this.#drains)
    return cut.reduce((sum, one) => sum + one, 0)
  }

  #openDoor(key: string, table: PortTable): void {
    const server = net.createServer(this.#options.socketOptions)
    const open: OpenDoor = { server, table, door: this.#options.open(server, table.port, () => open.table) }
    if (this.#isLeaving) open.door.leave()
    this.#doors.set(key, open)
  }

  #closeDoor(key: string, open: OpenDoor): void {
    this.#doors.delete(key)
    open.table = emptyPort(open.table)
    this.#drainDoor(open)
  }

  #drainDoor(open: OpenDoor): void {
    this.#draining(open.door.drain(this.#options.drain))
  }

  #draining(drain: Promise<unknown>): void {
    const drained = drain.finally(() => this.#drains.delete(drained))
    this.#drains.add(drained)
  }

  /** Resolve when what waited at sockets that go has been accepted; none where they are closed at once. */
  #bindWanted(acceptors: ReadonlyMap<string, Acceptor>): Promise<void>[] {
    const emptied: Promise<void>[] = []
    if (this.#isHeld) {
      this.#wanted = acceptors
      return emptied
    }
    for (const [key, acceptor] of this.#acceptors) {
      if (acceptors.has(key)) continue
      this.#acceptors.delete(key)
      const closing = this.#close(acceptor)
      if (closing !== null) emptied.push(closing)
    }
    for (const [key, acceptor] of acceptors) {
      const open = this.#acceptors.get(key)
      if (open !== undefined) {
        open.isForAny = acceptor.isForAny
        open.isForAnyOnly = acceptor.isForAnyOnly
        continue
      }
      this.#acceptors.set(key, acceptor)
      this.#giveWay(acceptor)
      const handed = this.#handed.get(key)
      this.#handed.delete(key)
      this.#listen(acceptor, handed?.port ?? acceptor.port, handed?.address ?? acceptor.address, handed?.fd)
    }
    return emptied
  }

  /** A port served elsewhere yields to the listener that asked for that very port. */
  #giveWay(to: Acceptor): void {
    for (const other of this.#acceptors.values()) {
      if (other === to || other.bound?.port !== to.port || other.port === to.port) continue
      const server = other.server
      other.server = undefined
      server?.close()
      this.#failed(other, `port ${to.port}, where it was served because ${other.port} may not be bound, is another listener's`)
    }
  }

  /** `fd`: listens already. */
  #listen(acceptor: Acceptor, port: number, address: string, fd?: number): void {
    const server = net.createServer(this.#options.socketOptions, (socket) => this.#accept(acceptor, socket))
    acceptor.server = server
    const onError = (error: NodeJS.ErrnoException): void => {
      if (acceptor.isClosed || acceptor.server !== server) return
      acceptor.server = undefined
      const { offset } = this.#options
      if (error.code === "EACCES" && offset > 0 && port === acceptor.port && port + offset < 65_536) {
        const isWanted = [...this.#acceptors.values()].some((other) => other.port === port + offset)
        if (isWanted) this.#failed(acceptor, `this process may not bind it, and ${port + offset}, where it would be served, is another listener's`)
        else this.#listen(acceptor, port + offset, address)
      } else if (error.code === "EAFNOSUPPORT" && address === "::") this.#listen(acceptor, port, "0.0.0.0")
      else this.#failed(acceptor, reasonOf(error, port), error.code === "EADDRNOTAVAIL" ? "AddressNotUsable" : "PortUnavailable")
    }
    server.once("error", onError)
    server.listen({ ...(fd === undefined ? { port, host: address, exclusive: true, reusePort: this.#options.sharesPorts === true } : { fd }), backlog: 511 }, () => {
      if (acceptor.isClosed || acceptor.server !== server) {
        server.close()
        return
      }
      server.off("error", onError)
      // Out of file descriptors while accepting, for instance: the socket stays, the next accept may do.
      server.on("error", (error) => {
        acceptor.hasFailed = true
        this.#options.notes.set(`accept/${acceptor.name}`, { severity: "error", reason: "AcceptFailed", message: `${acceptor.name}: ${error.message}.` })
      })
      acceptor.attempts = 0
      acceptor.bound = { address, port }
      this.#options.notes.clear(`socket/${acceptor.name}`)
      this.#tried()
    })
  }

  #tried(): void {
    for (const resolve of this.#whenTried.splice(0)) resolve()
    this.#options.onChange()
  }

  #failed(acceptor: Acceptor, why: string, reason: "PortUnavailable" | "AddressNotUsable" = "PortUnavailable"): void {
    acceptor.bound = { address: acceptor.address, port: 0, error: why, ...(reason === "AddressNotUsable" ? { reason } : {}) }
    this.#options.notes.set(`socket/${acceptor.name}`, {
      severity: "error", reason, message: `${acceptor.name} is not served: ${why}. It is tried again until it can be.`,
      fix: reason === "AddressNotUsable" ? "Give the Gateway an address of this machine, or the machine the address." : "Free the port, or give the listener another one.",
    })
    this.#tried()
    this.#retryLater(acceptor)
  }

  #retryLater(acceptor: Acceptor): void {
    const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(acceptor.attempts++, 10)) * (0.75 + Math.random() / 2)
    acceptor.retry = setTimeout(() => (this.#isHeld ? this.#retryLater(acceptor) : this.#listen(acceptor, acceptor.port, acceptor.address)), wait)
    acceptor.retry.unref()
  }

  /** null: it is closed. Else what waits is accepted first. */
  #close(acceptor: Acceptor): Promise<void> | null {
    acceptor.isClosed = true
    clearTimeout(acceptor.retry)
    this.#options.notes.clear(`socket/${acceptor.name}`)
    this.#options.notes.clear(`accept/${acceptor.name}`)
    const { server } = acceptor
    if (server === undefined) return null
    if (this.#options.sharesPorts === true && server.listening) return closeEmptied(server, () => acceptor.accepted)
    server.close()
    return null
  }

  #accept(acceptor: Acceptor, socket: net.Socket): void {
    acceptor.accepted++
    if (acceptor.hasFailed) {
      acceptor.hasFailed = false
      this.#options.notes.clear(`accept/${acceptor.name}`)
    }
    const to = acceptor.isForAnyOnly && this.#closing.size === 0 ? undefined : socket.localAddress
    const own = to === undefined ? undefined : this.#doorAt(`${to.startsWith("::ffff:") ? to.slice(7) : to}:${acceptor.port}`)
    const door = own ?? (acceptor.isForAny ? this.#doorAt(`${ANY}:${acceptor.port}`) : undefined)
    if (door === undefined) socket.destroy()
    else door.server.emit("connection", socket)
  }

  #doorAt(key: string): OpenDoor | undefined {
    return this.#doors.get(key) ?? this.#closing.get(key)
  }
}

const emptyPort = ({ port, protocol }: PortTable): PortTable => new CompiledPort(port, protocol, HostIndex.empty<CompiledListener>())
