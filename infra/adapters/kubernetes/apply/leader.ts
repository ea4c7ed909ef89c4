/**
 * Who writes to the API server: the holder of a Lease (coordination.k8s.io/v1), as leader election of Kubernetes' own
 * controllers goes. It is asked for by who has the adapter's lease on the bus, and by nobody else, so that one process
 * has both. Who holds it may write until RENEW_WITHIN after the beginning of its last renewal, by its own clock; another
 * takes it LASTS after the last renewal it has seen, by its own: later, whatever the two think of the time of day.
 */
import type { Clock } from "../../../../bus/unit/unit.ts"
import { ApiError } from "../api-error.ts"
import { resourcePath, type ApiClient } from "../client.ts"
import type { Json } from "../raw.ts"
import { microTimestamp } from "./conditions.ts"
import { number, object, text } from "./paths.ts"

/** Name of the Lease. */
export const LEADER = "headgate-adapter"

/** ms. A write that begins in the last moment is over, or cut off, before another may begin (WRITE_WITHIN). */
const LASTS = 20_000
const RENEW_WITHIN = 10_000
const EVERY = 2_000
const ANSWER_WITHIN = 4_000

const EPOCH = "headgate.dev/epoch"

export interface LeaderOptions {
  readonly api: ApiClient
  readonly namespace: string
  readonly name: string
  /** Who asks: unique among processes. */
  readonly holder: string
  /** Of the adapter's lease on the bus: written beside, for people. */
  readonly epoch: number
  readonly clock: Clock
  /** It may write from now on, or no longer; `holder` of the moment. For people: between two of these it may have been unable to for a moment. */
  onChange(mayWrite: boolean, holder: string): void
  /** It may write, perhaps again. */
  onRenewed(): void
  /** Why it is neither held nor known to be held by another: once, until it is another reason; undefined: that is over. */
  onTrouble(error: ApiError | undefined): void
}

export class Leader {
  readonly #options: LeaderOptions
  readonly #stop = new AbortController()
  readonly #path: string
  /** Monotonic ms; the beginning of the last renewal that was answered. */
  #renewed = Number.NEGATIVE_INFINITY
  #said = false
  #troubled: string | undefined
  /** As last read or written. */
  #lease: unknown
  /** What is renewed, and since when it has been so, as seen from here. */
  #seen: { readonly renewal: string; readonly since: number } | undefined
  #cancel: (() => void) | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(options: LeaderOptions) {
    this.#options = options
    this.#path = resourcePath({ group: "coordination.k8s.io", version: "v1", namespace: options.namespace, plural: "leases", name: options.name })
    this.#running = this.#turn()
  }

  /** To be asked before each write. */
  get mayWrite(): boolean {
    return !this.#stop.signal.aborted && this.#options.clock.monotonic() < this.#renewed + RENEW_WITHIN
  }

  /** Gives it back, so that another has it at once. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#cancel?.()
    await this.#running
    try {
      // The last turn may have taken it, or not know that it did.
      this.#lease ??= await this.#read()
      if (this.#isOfThis(this.#lease)) await this.#store({ holderIdentity: "", leaseDurationSeconds: 1 })
    } catch (error) {
      // It runs out.
      if (!(error instanceof ApiError)) throw error
    }
  }

  /** Taken in this session, and not in a later one of the same process. */
  #isOfThis(lease: unknown): boolean {
    const { holder, epoch } = this.#options
    return text(lease, "spec", "holderIdentity") === holder && text(lease, "metadata", "annotations", EPOCH) === String(epoch)
  }

  async #turn(): Promise<void> {
    const { clock } = this.#options
    const began = clock.monotonic()
    try {
      if (await this.#acquire()) this.#renewed = began
      this.#trouble(undefined)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      // Somebody else was first, or it is not known what is stored: read before the next try.
      this.#lease = undefined
      if (error.status !== 409 && !this.#stop.signal.aborted) this.#trouble(error)
    }
    this.#say()
    if (this.#stop.signal.aborted) return
    if (this.#said) this.#options.onRenewed()
    // No later than when it would run out.
    const left = this.#said ? this.#renewed + RENEW_WITHIN - clock.monotonic() : EVERY
    this.#cancel = clock.after(Math.max(0, Math.min(left, EVERY * (0.8 + 0.4 * clock.random()))), () => { this.#running = this.#turn() })
  }

  #trouble(error: ApiError | undefined): void {
    const what = error && `${error.status} ${error.reason}`
    if (what === this.#troubled) return
    this.#troubled = what
    this.#options.onTrouble(error)
  }

  #say(): void {
    const mayWrite = this.mayWrite
    if (mayWrite === this.#said) return
    this.#said = mayWrite
    this.#options.onChange(mayWrite, text(this.#lease, "spec", "holderIdentity"))
  }

  /** True: it is ours, as of when this began. */
  async #acquire(): Promise<boolean> {
    const { holder } = this.#options
    this.#lease ??= await this.#read(this.#stop.signal)
    const has = text(this.#lease, "spec", "holderIdentity")
    if (this.#lease !== undefined && has !== holder && has !== "" && !this.#hasRunOut()) {
      // Asked again at the next turn.
      this.#lease = undefined
      return false
    }
    const transitions = number(this.#lease, "spec", "leaseTransitions")
    const now = microTimestamp(this.#options.clock.wall())
    await this.#store(has === holder ? { renewTime: now } : { acquireTime: now, renewTime: now, leaseTransitions: this.#lease === undefined ? 0 : transitions + 1 })
    return true
  }

  #hasRunOut(): boolean {
    const renewal = `${text(this.#lease, "spec", "holderIdentity")} ${text(this.#lease, "spec", "renewTime")}`
    const now = this.#options.clock.monotonic()
    if (this.#seen?.renewal !== renewal) this.#seen = { renewal, since: now }
    return now - this.#seen.since >= Math.max(LASTS, number(this.#lease, "spec", "leaseDurationSeconds") * 1000)
  }

  async #read(signal?: AbortSignal): Promise<unknown> {
    try {
      return await this.#options.api.request({ path: this.#path, timeout: ANSWER_WITHIN, ...(signal === undefined ? {} : { signal }) })
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  /** Compares and swaps by resourceVersion. */
  async #store(spec: Json): Promise<void> {
    const { api, namespace, name, holder, epoch } = this.#options
    const before = this.#lease
    const lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: before === undefined ? { name, namespace, annotations: { [EPOCH]: String(epoch) } } : { ...object(before, "metadata"), annotations: { ...object(before, "metadata", "annotations"), [EPOCH]: String(epoch) } },
      spec: { ...object(before, "spec"), holderIdentity: holder, leaseDurationSeconds: LASTS / 1000, ...spec },
    }
    const isNew = before === undefined
    this.#lease = await api.request({ method: isNew ? "POST" : "PUT", path: isNew ? this.#path.slice(0, this.#path.lastIndexOf("/")) : this.#path, body: lease, timeout: ANSWER_WITHIN })
  }
}
