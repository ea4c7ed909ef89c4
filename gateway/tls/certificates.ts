/**
 * What HTTPS listeners present, beside the table, as clusters are: a certificate that changes is presented from the
 * same tick on, to every new handshake, without a new table; connections that are open keep nothing of it.
 *
 * An entry that cannot be used is parked with a note, and the last good content of it stays in force; so it does while a
 * Secret has not been read. One that says why it is empty presents nothing any more. One that is removed stays as long as a listener names it (barrier B4): the
 * removal is right only together with the swap that stops naming it.
 */
import type { SecureContext } from "node:tls"
import type { Certificate } from "../../bus/kinds/config.ts"
import { keyIdOf, type PlaneKey } from "../../bus/seal.ts"
import type { CertificateStore, TableNote } from "../table/compile.ts"
import type { Presenter } from "../table/table.ts"
import { makeContext, TicketKey, type OpenCertificate } from "./context.ts"
import { NameIndex, type Together } from "./names.ts"
import { openCertificate } from "./open.ts"
import type { PlaneKeyFile } from "./plane-key.ts"

export const ROTATE_MS = 12 * 3_600_000
/** How often a key that could not be had is looked for again. */
const RETRY_MS = 2_000

/** One certificate id, while there is an entry or a listener names it. */
interface Live {
  /** null: not there (yet), or removed. */
  entry: Certificate | null
  /** What is presented; null: nothing. */
  open: OpenCertificate | null
  readonly listeners: Set<ListenerPresenter>
}

export interface CertificatesOptions {
  readonly plane: string
  readonly key: PlaneKeyFile
  /** Notes changed outside a swap. */
  readonly onNotes: () => void
  /** Of all workers, so that a session is resumed by any of them: who gives it changes it. Undefined: a key of its own, changed every 12 h. */
  readonly ticketKey?: Uint8Array
}

export class Certificates implements CertificateStore {
  readonly #options: CertificatesOptions
  readonly #live = new Map<string, Live>()
  readonly #presenters = new Map<string, ListenerPresenter>()
  /** By the ids that are presented together; made when first needed, and anew when one of them changes. */
  readonly #contexts = new Map<string, { readonly of: Together; readonly context: SecureContext }>()
  /** By note id: `certificate/<id>`, `tls/<listener>`, `plane-key`. */
  readonly #notes = new Map<string, TableNote>()
  /** Parked because there was no key to open them with. */
  readonly #keyless = new Set<string>()
  readonly #tickets: TicketKey
  #rotation: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined

  constructor(options: CertificatesOptions) {
    this.#options = options
    this.#tickets = new TicketKey(options.ticketKey)
  }

  get notes(): ReadonlyMap<string, TableNote> {
    return this.#notes
  }

  set(id: string, entry: Certificate): void {
    const live = this.#at(id)
    const isKnown = live.entry !== null && isSameContent(live.entry, entry) && !this.#notes.has(`certificate/${id}`)
    live.entry = entry
    if (isKnown) return
    if (entry.empty !== undefined) this.#keyless.delete(id)
    if (entry.empty === undefined) this.#open(id, live, entry)
    else if (entry.empty !== "NotRead") this.#replace(id, live, null)
    for (const presenter of live.listeners) this.#explain(presenter)
  }

  remove(id: string): void {
    const live = this.#live.get(id)
    if (live === undefined) return
    live.entry = null
    this.#keyless.delete(id)
    this.#notes.delete(`certificate/${id}`)
    this.#dropUnused(id, live)
  }

  present(listener: string, certificates: readonly string[], about?: TableNote["about"]): Presenter {
    const before = this.#presenters.get(listener)
    const presenter = new ListenerPresenter({ listener, certificates, about, live: certificates.map((id) => this.#at(id)), contextOf: (of) => this.#contextOf(of) })
    for (const id of certificates) this.#at(id).listeners.add(presenter)
    this.#presenters.set(listener, presenter)
    if (before !== undefined) this.#unname(before)
    this.#explain(presenter)
    return presenter
  }

  release(listener: string): void {
    const presenter = this.#presenters.get(listener)
    if (presenter === undefined) return
    this.#presenters.delete(listener)
    this.#notes.delete(`tls/${listener}`)
    this.#unname(presenter)
  }

  /** Ends its timers. */
  stop(): void {
    clearInterval(this.#rotation)
    clearInterval(this.#retry)
  }

  /** Tickets from before are not accepted any more. Happens every 12 h. */
  rotateTickets(ticketKey?: Uint8Array): void {
    this.#tickets.rotate([...this.#contexts.values()].map(({ context }) => context), ticketKey)
  }

  #at(id: string): Live {
    let live = this.#live.get(id)
    if (live === undefined) this.#live.set(id, (live = { entry: null, open: null, listeners: new Set() }))
    return live
  }

  #unname(presenter: ListenerPresenter): void {
    for (const id of presenter.certificates) {
      const live = this.#live.get(id)
      live?.listeners.delete(presenter)
      if (live !== undefined) this.#dropUnused(id, live)
    }
  }

  #dropUnused(id: string, live: Live): void {
    if (live.entry !== null || live.listeners.size > 0) return
    this.#replace(id, live, null)
    this.#live.delete(id)
  }

  #open(id: string, live: Live, entry: Certificate): void {
    const { plane, key } = this.#options
    try {
      const open = openCertificate(id, entry, plane, this.#keyFor(id, entry))
      // OpenSSL may refuse what parses: a key too short, a signature too weak.
      this.#contextOf([open])
      this.#replace(id, live, open)
    } catch (error) {
      this.#notes.set(`certificate/${id}`, {
        severity: "error",
        reason: "CertificateParked",
        message: `Certificate ${id} cannot be presented: ${error instanceof Error ? error.message : String(error)}.${live.open === null ? "" : " The last good one stays in force."}`,
        about: entry.source,
      })
    }
    if (key.note === undefined) this.#notes.delete("plane-key")
    else this.#notes.set("plane-key", key.note)
    if (this.#keyless.size > 0) this.#retry ??= setInterval(() => this.#tryAgain(), RETRY_MS).unref()
  }

  /** The file is read again for another key id than its last: it may have been exchanged. */
  #keyFor(id: string, entry: Certificate): PlaneKey {
    const { key } = this.#options
    const wanted = keyIdOf(entry.key ?? "")
    this.#keyless.add(id)
    let planeKey = key.get()
    if (planeKey.id !== wanted) planeKey = key.reread()
    if (planeKey.id === wanted) this.#keyless.delete(id)
    return planeKey
  }

  #tryAgain(): void {
    const before = this.#keyless.size
    for (const id of [...this.#keyless]) {
      const live = this.#live.get(id)
      if (live?.entry === undefined || live.entry === null) continue
      this.#open(id, live, live.entry)
      for (const presenter of live.listeners) this.#explain(presenter)
    }
    if (this.#keyless.size === 0) {
      clearInterval(this.#retry)
      this.#retry = undefined
    }
    if (this.#keyless.size < before) this.#options.onNotes()
  }

  /** From now on this is presented. */
  #replace(id: string, live: Live, open: OpenCertificate | null): void {
    const before = live.open
    live.open = open
    this.#notes.delete(`certificate/${id}`)
    if (before === null && open === null) return
    for (const [ids, { of }] of this.#contexts) if (of.some((one) => one.id === id && one !== open)) this.#contexts.delete(ids)
    for (const presenter of live.listeners) presenter.changed()
    before?.key.reveal().fill(0)
  }

  #contextOf(certificates: Together): SecureContext {
    const ids = certificates.map(({ id }) => id).join("\0")
    const known = this.#contexts.get(ids)
    if (known !== undefined && known.of.every((one, i) => one === certificates[i])) return known.context
    const context = this.#make(certificates)
    this.#contexts.set(ids, { of: certificates, context })
    if (this.#options.ticketKey === undefined) this.#rotation ??= setInterval(() => this.rotateTickets(), ROTATE_MS).unref()
    return context
  }

  /** Throws what OpenSSL says of a single certificate; of several, which it took one by one, the first must do then. */
  #make(certificates: Together): SecureContext {
    const [first, ...others] = certificates
    if (first === undefined || others.length === 0) return makeContext(certificates, this.#tickets)
    try {
      return makeContext(certificates, this.#tickets)
    } catch (error) {
      this.#notes.set(`certificate/${first.id}`, {
        severity: "error",
        reason: "CertificateAlone",
        message: `Certificate ${first.id} is presented without ${others.map(({ id }) => id).join(", ")}: ${error instanceof Error ? error.message : String(error)}.`,
      })
      return makeContext([first], this.#tickets)
    }
  }

  /** Why a listener refuses every handshake. */
  #explain({ listener, certificates, about, isEmpty }: ListenerPresenter): void {
    if (!isEmpty) {
      this.#notes.delete(`tls/${listener}`)
      return
    }
    const reasons = certificates.map((id) => {
      const live = this.#live.get(id)
      return `${id} (${live?.entry?.empty ?? (live?.entry === null ? "not there" : "parked")})`
    })
    this.#notes.set(`tls/${listener}`, {
      severity: "error",
      reason: "NoCertificate",
      message: `Listener ${listener} refuses every handshake: ${reasons.length === 0 ? "it names no certificate" : `nothing can be presented of ${reasons.join(", ")}`}.`,
      ...(about === undefined ? {} : { about }),
    })
  }
}

const isSameContent = (some: Certificate, other: Certificate): boolean =>
  some.chain === other.chain && some.key === other.key && some.empty === other.empty && some.names.join() === other.names.join()

interface Presented {
  readonly listener: string
  readonly certificates: readonly string[]
  readonly about: TableNote["about"]
  /** Of `certificates`. */
  readonly live: readonly Live[]
  readonly contextOf: (of: Together) => SecureContext
}

class ListenerPresenter implements Presenter {
  readonly listener: string
  readonly certificates: readonly string[]
  readonly about: TableNote["about"]
  readonly #live: readonly Live[]
  readonly #contextOf: (of: Together) => SecureContext
  #index: NameIndex | null = null

  constructor({ listener, certificates, about, live, contextOf }: Presented) {
    this.listener = listener
    this.certificates = certificates
    this.about = about
    this.#live = live
    this.#contextOf = contextOf
  }

  get isEmpty(): boolean {
    return this.#live.every(({ open }) => open === null)
  }

  /** One of its certificates did. */
  changed(): void {
    this.#index = null
  }

  find(serverName: string): SecureContext | null {
    this.#index ??= new NameIndex(this.#live.flatMap(({ open }) => (open === null ? [] : [open])))
    const together = this.#index.find(serverName)
    return together === null ? null : this.#contextOf(together)
  }
}
