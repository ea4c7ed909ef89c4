/** What serves: tables, sockets, connections, pools and counters of one thread; the process's only one, or a worker's. */
import type { Bound } from "./acceptor.ts"
import { tick } from "./clock.ts"
import { ClientConnections } from "./downstream/client-connections.ts"
import { Listening } from "./listen.ts"
import type { Notes } from "./notes.ts"
import { Overload, processMemory } from "./overload.ts"
import type { ListeningSocket, WorkersSocket } from "./restart/listening-socket.ts"
import { HttpServer, socketOptions } from "./server.ts"
import type { Settings } from "./settings.ts"
import type { Listener } from "../bus/kinds/config.ts"
import type { Batch, TableNote } from "./table/compile.ts"
import { AccessLog } from "./telemetry/access-log.ts"
import { Metrics } from "./telemetry/metrics.ts"
import type { Output } from "./telemetry/output.ts"
import type { RequestTraces } from "./telemetry/request-trace.ts"
import { Certificates } from "./tls/certificates.ts"
import { PlaneKeyFile } from "./tls/plane-key.ts"
import { Endpoints } from "./upstream/endpoints.ts"
import { LocalWorker, type Worker } from "./workers.ts"

/** This thread, or all workers together. */
export interface Serves extends Worker {
  /** Of the table. */
  readonly generation: number
  /** Clusters known. */
  readonly clusters: number
  readonly notes: ReadonlyMap<string, TableNote>
  readonly listeners: ReadonlyMap<string, Listener>
  /** Every socket wanted is bound or was tried. */
  readonly isSettled: boolean
  /** By a table's port (table/compile.ts, bindKeys); undefined: not tried yet. */
  boundAt(key: string): Bound | undefined
  /** Prometheus text format. */
  metrics(): string | Promise<string>
  /** Clients are to go elsewhere; who comes all the same is served. */
  leave(): void
  /** Takes no more connections; resolves when there are none, after `milliseconds` at the latest, with how many were cut off. */
  drain(milliseconds: number): Promise<number>
  /** Its sockets stay as they are until release(), and can be handed to a successor. Rejects where the platform does not tell their descriptors. */
  hold(): Promise<readonly WorkersSocket[]>
  release(): void
  /** A successor listens on these sockets: as drain(), but those who are connected may ask once more in that time. */
  handOver(milliseconds: number): Promise<number>
  /** After `drain` or `handOver`. */
  stop(): Promise<void>
}

/** What can be told to another thread. */
export interface ServingSettings {
  readonly plane: string
  readonly settings: Settings
  readonly bind: string
  readonly portOffset: number
  readonly planeKey: string | undefined
  /** ms; of listeners that are gone. */
  readonly drain: number
}

export interface ServingOptions extends ServingSettings {
  readonly notes: Notes
  /** Of the access log. */
  readonly output: number | Output
  readonly traces: RequestTraces | null
  /** Sockets, or notes on certificates. */
  readonly onChange: () => void
  /** In the tick of a swap, before the sockets follow it. */
  readonly onSwap: () => void
  /** Other workers listen on the same addresses, and resume sessions with this key. Undefined: there are none. */
  readonly ticketKey?: Uint8Array
  /** Sockets of a predecessor; held until release(). Undefined: there is none. */
  readonly handed?: readonly ListeningSocket[] | undefined
}

const SWEEP_MS = 5000
/** For the last log lines when the process ends. */
const LOG_MS = 2_000

export class Serving implements Serves {
  readonly #metrics = new Metrics()
  readonly #endpoints: Endpoints
  readonly #accessLog: AccessLog | null
  readonly #listening: Listening
  readonly #certificates: Certificates
  readonly #worker: LocalWorker
  readonly #sweep: NodeJS.Timeout

  constructor({ plane, settings, bind, portOffset, planeKey, drain, notes, output, traces, onChange, onSwap, ticketKey, handed }: ServingOptions) {
    const metrics = this.#metrics
    const endpoints = (this.#endpoints = new Endpoints(settings, metrics.upstream))
    const accessLog = (this.#accessLog = settings.accessLog ? new AccessLog(output, metrics) : null)
    const clients = new ClientConnections(settings)
    const overload = new Overload({ settings, notes, metrics: metrics.limits, underWay: () => metrics.underWay, memory: processMemory })
    const listening = (this.#listening = new Listening({
      bind, offset: portOffset, drain, notes, socketOptions, onChange, sharesPorts: ticketKey !== undefined, handed,
      open: (server, port, table) => new HttpServer({ net: server, port, table, settings, metrics, clients, overload, accessLog, traces }),
    }))
    const certificates = (this.#certificates = new Certificates({ plane, key: new PlaneKeyFile(planeKey), onNotes: onChange, ...(ticketKey === undefined ? {} : { ticketKey }) }))
    this.#worker = new LocalWorker({
      endpoints, certificates,
      onSwap: (table) => {
        onSwap()
        metrics.swaps++
        listening.update(table.ports)
      },
    })
    this.#sweep = setInterval(() => {
      endpoints.sweep()
      overload.rest(tick())
    }, SWEEP_MS).unref()
  }

  apply(batch: Batch): null {
    return this.#worker.apply(batch)
  }

  get generation(): number {
    return this.#worker.table.generation
  }

  get clusters(): number {
    return this.#worker.table.clusters.size
  }

  get notes(): ReadonlyMap<string, TableNote> {
    return this.#worker.notes
  }

  get listeners(): ReadonlyMap<string, Listener> {
    return this.#worker.listeners
  }

  get isSettled(): boolean {
    return this.#listening.isSettled
  }

  boundAt(key: string): Bound | undefined {
    return this.#listening.boundAt(key)
  }

  metrics(): string {
    return this.#metrics.text(this.#endpoints.all())
  }

  /** Client connections open. */
  get connections(): number {
    let open = 0
    for (const { connections } of this.#metrics.listeners) open += connections
    return open
  }

  /** Of all workers: the sessions of the one before are resumed no more. */
  useTicketKey(key: Uint8Array): void {
    this.#certificates.rotateTickets(key)
  }

  leave(): void {
    this.#listening.leave()
  }

  drain(milliseconds: number): Promise<number> {
    return this.#listening.drain(milliseconds)
  }

  async hold(): Promise<readonly WorkersSocket[]> {
    return (await this.#listening.hold()).map((socket) => ({ ...socket, worker: 0 }))
  }

  release(): void {
    this.#listening.release()
  }

  handOver(milliseconds: number): Promise<number> {
    return this.#listening.handOver(milliseconds)
  }

  async stop(): Promise<void> {
    // Not for a reader that takes nothing any more.
    await Promise.race([this.#accessLog?.flushed(), new Promise((resolve) => setTimeout(resolve, LOG_MS).unref())])
    clearInterval(this.#sweep)
    this.#worker.stop()
    this.#certificates.stop()
    this.#endpoints.close()
  }
}
