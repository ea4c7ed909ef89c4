/**
 * The seam between what takes effect and who serves it. Every worker gets every batch, in order, compiles for itself
 * and swaps on its own; a batch counts as applied once all have. There is one, in this process and thread; more would
 * be threads that share the port (reusePort) and get batches as messages.
 */
import type { Listener } from "../bus/kinds/config.ts"
import { type Batch, type CertificateStore, TableCompiler, type TableNote } from "./table/compile.ts"
import type { EndpointHandle, Table } from "./table/table.ts"
import { weighted } from "./balance/weighted.ts"

export interface Worker {
  /** Swaps before it returns when the worker is this thread; resolves when the batch is served. */
  apply(batch: Batch): Promise<void>
}

export interface LocalWorkerOptions {
  /** gateway/upstream/endpoints.ts: identity, pools and health of endpoints. */
  readonly endpoints: {
    get(address: string, port: number): EndpointHandle
    keep(named: ReadonlySet<EndpointHandle>): void
  }
  /** gateway/tls/certificates.ts. */
  readonly certificates: CertificateStore & { readonly notes: ReadonlyMap<string, TableNote> }
  /** After each swap, in the same tick; also when only clusters or certificates changed (then the table is the same). */
  readonly onSwap: (table: Table) => void
}

/** Endpoints that no cluster names any more are let go this long after a swap, all swaps in between together. */
const LET_GO_MS = 500

export class LocalWorker implements Worker {
  readonly #compiler: TableCompiler
  readonly #options: LocalWorkerOptions
  #current: Table
  #letGo: NodeJS.Timeout | undefined

  constructor(options: LocalWorkerOptions) {
    this.#options = options
    this.#compiler = new TableCompiler({ endpointOf: (address, port) => options.endpoints.get(address, port), weighted, certificates: options.certificates })
    this.#current = this.#compiler.table
  }

  get table(): Table {
    return this.#current
  }

  get notes(): ReadonlyMap<string, TableNote> {
    const { notes } = this.#options.certificates
    return notes.size === 0 ? this.#compiler.notes : new Map([...this.#compiler.notes, ...notes])
  }

  get listeners(): ReadonlyMap<string, Listener> {
    return this.#compiler.listeners
  }

  apply(batch: Batch): Promise<void> {
    this.#current = this.#compiler.apply(batch)
    this.#options.onSwap(this.#current)
    if (this.#letGo === undefined) {
      this.#letGo = setTimeout(() => {
        this.#letGo = undefined
        this.#options.endpoints.keep(this.#compiler.endpoints())
      }, LET_GO_MS)
      this.#letGo.unref()
    }
    return Promise.resolve()
  }

  stop(): void {
    clearTimeout(this.#letGo)
  }
}
