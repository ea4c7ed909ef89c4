/**
 * Carries out in the cluster what functions want done there: statuses said, objects made. It lives in one session of
 * the adapter on the bus, so with its lease there; it writes while it is the leader in the cluster too, and only from
 * entries that are all there and heard of: of statuses, after function `status` has committed all of its own in this
 * incarnation of the store.
 */
import type { Bus, Following } from "../../../../bus/bus.ts"
import { kinds } from "../../../../bus/kinds/config.ts"
import { desired } from "../../../../bus/kinds/desired.ts"
import { status } from "../../../../bus/kinds/status.ts"
import { systemClock } from "../../../../bus/unit/clock.ts"
import type { Clock } from "../../../../bus/unit/unit.ts"
import type { KeyPair } from "../../nats/certificates.ts"
import type { ApiError } from "../api-error.ts"
import type { ApiClient } from "../client.ts"
import { DesiredWriter } from "./desired-writer.ts"
import { followEntries } from "./entries.ts"
import { Events } from "./events.ts"
import { FinalizerWriter } from "./finalizer-writer.ts"
import { Leader, LEADER } from "./leader.ts"
import { Made } from "./made.ts"
import type { Notes } from "./notes.ts"
import type { Observer } from "./observer.ts"
import { refusalOf } from "./refusal.ts"
import { isWhole } from "./status-plan.ts"
import { StatusWriter } from "./status-writer.ts"
import type { WriteTraces } from "./write-trace.ts"
import type { Log } from "./writing.ts"

export interface ApplyOptions {
  readonly bus: Bus
  readonly api: ApiClient
  readonly observer: Observer
  readonly notes: Notes
  /** Where the Lease is. */
  readonly installation: string
  /** Namespaces in which objects are made and watched, beside the installation's; undefined: all. */
  readonly namespaces: readonly string[] | undefined
  /** Whose statuses are ours, and what Events say they come from. */
  readonly controllerName: string
  /** Who signs certificates for data planes; undefined: none are made. */
  readonly authority?: (() => KeyPair) | undefined
  /** Who asks for the Lease. */
  readonly holder: string
  /** Of the adapter's lease on the bus. */
  readonly epoch: number
  readonly clock?: Clock
  /** Undefined: tracing is off. */
  readonly traces?: WriteTraces | undefined
  readonly log: Log
  /** The store was lost: the session is over. */
  onLost(reason: string): void
}

export class Apply {
  readonly statuses: StatusWriter
  readonly desired: DesiredWriter
  readonly #finalizers: FinalizerWriter
  readonly #leader: Leader
  readonly #made: Made
  readonly #events: Events
  readonly #following: readonly Pick<Following, "stop">[]
  readonly #off: () => void
  /** Ids of notes that are said. */
  readonly #noted = new Set<string>()
  readonly #unsay: () => void
  /** What of CONFIG is all there and heard of. */
  readonly #current = new Set<string>()
  #isDeclared = false
  #cancelRenewal: (() => void) | undefined
  /** Monotonic ms: by then every gateway pod has had time to say into this store what it serves. */
  #acked = 0

  constructor(options: ApplyOptions) {
    const { bus, api, observer, installation, namespaces, controllerName, holder, epoch, log, onLost, clock = systemClock, traces, authority } = options
    const isLeader = (): boolean => this.#leader.mayWrite
    const notes: Notes = { say: (id, note) => {
      if (note === undefined) this.#noted.delete(id)
      else this.#noted.add(id)
      options.notes.say(id, note)
    } }
    this.#unsay = () => {
      for (const id of this.#noted) options.notes.say(id, undefined)
    }
    const common = { api, observer, notes, clock, log }
    const watched = namespaces && [...new Set([...namespaces, installation])]
    this.#events = new Events({ api, holder, controller: controllerName, namespaces: watched, mayWrite: isLeader, clock, log })
    this.#made = new Made({
      api, namespaces: watched,
      onChange: (id) => this.desired.changed(id),
      onTrouble: (plural, error) => {
        if (error !== undefined) log({ level: "warn", message: `what was made of ${plural} is not heard of`, reason: error.message })
        sayRefused(notes, `made/${plural}`, error, `Of ${plural} nothing is made and nothing put right: what there is may not be read`)
      },
    })
    const maySay = (): boolean => isLeader() && this.#isDeclared && this.#current.has(kinds.function.name) && this.#current.has(status.name)
    this.statuses = new StatusWriter({ ...common, events: this.#events, traces, untilAcked: () => this.#acked - clock.monotonic(), isOwn: (name) => name === controllerName, mayWrite: maySay })
    this.#finalizers = new FinalizerWriter({ ...common, mayWrite: maySay })
    this.desired = new DesiredWriter({ ...common, events: this.#events, made: this.#made, authority, mayWrite: () => isLeader() && this.#current.has(desired.name) })
    this.#leader = new Leader({
      api, namespace: installation, name: LEADER, holder, epoch, clock,
      onChange: (mayWrite, by) => {
        log({ level: "info", message: mayWrite ? "leads: statuses and objects are written from here" : "does not lead", holder: by })
      },
      onRenewed: () => this.#resume(),
      onTrouble: (error) => {
        if (error !== undefined) log({ level: "warn", message: "the Lease was not renewed", reason: error.message })
        sayRefused(notes, "leader", error, "Nothing is written into the cluster: who may is not known")
      },
    })
    const onCurrent = (section: string) => (isCurrent: boolean): void => {
      if (isCurrent) this.#current.add(section)
      else this.#current.delete(section)
      this.#resume()
    }
    const onNote = (message: string): void => log({ level: "warn", message })
    this.#following = [
      followEntries(bus, status, { onEntry: (id, value, message) => {
        this.statuses.want(id, value, message)
        this.#finalizers.want(id, value)
      }, onCurrent: onCurrent(status.name), onLost, onNote }),
      followEntries(bus, desired, { onEntry: (id, value) => this.desired.want(id, value), onCurrent: onCurrent(desired.name), onLost, onNote }),
      followEntries(bus, kinds.function, {
        onEntry: (id, value, { time: stored }) => {
          if (id !== STATUS_FUNCTION) return
          this.#isDeclared = value !== undefined
          // Of a server whose clock is ahead, too, no more than that.
          this.#acked = clock.monotonic() + Math.min(ACKED_WITHIN, stored + ACKED_WITHIN - clock.wall())
          this.#resume()
        },
        onCurrent: onCurrent(kinds.function.name), onLost, onNote,
      }),
    ]
    this.#off = observer.onChange((kind) => {
      if (isWhole(kind)) this.desired.ownerChanged()
    })
    this.#made.start()
    const renew = (): void => {
      this.desired.renew()
      this.#cancelRenewal = clock.after(RENEWAL, renew)
    }
    if (authority !== undefined) renew()
  }

  get leads(): boolean {
    return this.#leader.mayWrite
  }

  /** Begins nothing more, waits for what is on its way, and gives the Lease back. */
  async stop(): Promise<void> {
    this.#off()
    this.#cancelRenewal?.()
    this.#made.stop()
    this.#events.stop()
    await Promise.all([...this.#following.map((following) => following.stop()), this.statuses.stop(), this.desired.stop(), this.#finalizers.stop()])
    // Whoever writes next finds out for itself what cannot be.
    this.#unsay()
    await this.#leader.stop()
  }

  #resume(): void {
    this.statuses.resume()
    this.#finalizers.resume()
    this.desired.resume()
  }
}

/** Between two looks at whether a certificate is due, or the authority another, ms. */
const RENEWAL = 300_000

/**
 * A store made anew knows of no gateway pod until it has said again what it serves, which it does once it has read all
 * of its configuration from there, ms since function `status` has first committed all.
 */
const ACKED_WITHIN = 15_000

/** A fault of the system passes and is logged; what is refused stays so until somebody does something. */
const sayRefused = (notes: Notes, id: string, error: ApiError | undefined, what: string): void => {
  const refusal = error && refusalOf(error)
  notes.say(`apply/${id}`, error === undefined || refusal === undefined ? undefined : { severity: "error", reason: refusal.reason, message: `${what}: ${error.message}`, fix: refusal.fix })
}

/** The function that writes statuses: its declaration comes after all that it first derived. */
const STATUS_FUNCTION = "status"
