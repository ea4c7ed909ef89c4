/**
 * The seam between what takes effect and who serves it. Every worker gets every batch, in order, compiles for itself
 * and swaps on its own; a batch counts as applied once all have. One worker is this thread; several are threads of
 * their own that share ports and get batches as messages (threads/).
 */
import type { Listener } from "../bus/kinds/config.ts"
import { type Batch, type CertificateStore, TableCompiler, type TableNote } from "./table/compile.ts"
import type { EndpointHandle, Table } from "./table/table.ts"
import { weighted } from "./balance/weighted.ts"

export interface Worker {
  /** null: it is served, this thread has swapped. Else it will be when the promise resolves; the next one is for after that. */
  apply(batch: Batch): Promise<void> | null
}

export interface LocalWorkerOptions {
  /** gateway/upstream/endpoints.ts: identity, pools and health of endpoints. */
  readonly endpoints: {
    get(address: string, port: number, isHttp2: boolean): EndpointHandle
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
    this.#compiler = new TableCompiler({ endpointOf: (address, port, isHttp2) => options.endpoints.get(address, port, isHttp2), weighted, certificates: options.certificates })
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

  apply(batch: Batch): null {
    this.#current = this.#compiler.apply(batch)
    this.#options.onSwap(this.#current)
    if (this.#letGo === undefined) {
      this.#letGo = setTimeout(() => {
        this.#letGo = undefined
        this.#options.endpoints.keep(this.#compiler.endpoints())
      }, LET_GO_MS)
      this.#letGo.unref()
    }
    return null
  }

  stop(): void {
    clearTimeout(this.#letGo)
  }
}
