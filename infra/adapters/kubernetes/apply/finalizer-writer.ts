/**
 * Sets and takes away the finalizers that functions say a GatewayClass should have, and leaves those of others alone. What stands
 * is read from the API server each time: classes are few and change seldom.
 */
import { gatewayApi } from "../../../../bus/kinds/gateway-api.ts"
import { GATEWAY_CLASS_FINALIZERS, type Status } from "../../../../bus/kinds/status.ts"
import { ApiError } from "../api-error.ts"
import { resourcePath } from "../client.ts"
import { Pace, type Outcome } from "./pace.ts"
import { list, text } from "./paths.ts"
import { refusalOf } from "./refusal.ts"
import { MANAGER, pauseOf, type Writing, WRITE_WITHIN } from "./writing.ts"

const KIND = gatewayApi.gatewayClass.name
const SPACING = 200
const PAUSE = { first: 250, max: 60_000 }
const DONE: Outcome = { is: "done" }

export type FinalizerWriterOptions = Omit<Writing, "events">

export class FinalizerWriter {
  readonly #options: FinalizerWriterOptions
  readonly #pace: Pace
  /** By id of the entry, `gatewayclass//<name>`. */
  readonly #wanted = new Map<string, { readonly uid: string | undefined; readonly finalizers: readonly string[] }>()
  readonly #off: () => void

  constructor(options: FinalizerWriterOptions) {
    this.#options = options
    this.#pace = new Pace({ perform: (id) => this.#perform(id), concurrency: 1, spacing: SPACING, pause: PAUSE, clock: options.clock, mayBegin: () => options.mayWrite() })
    this.#off = options.observer.onChange((kind, key) => {
      if (kind === KIND && this.#wanted.has(`${kind}/${key}`)) this.#pace.touch(`${kind}/${key}`)
    })
  }

  /** What is taken back is said no more: what stands stays. */
  want(id: string, status: Status | undefined): void {
    if (status?.finalizers === undefined) {
      if (this.#wanted.delete(id)) this.#say(id, undefined)
      return
    }
    this.#wanted.set(id, { uid: status.uid, finalizers: status.finalizers })
    this.#pace.touch(id, { anew: true })
  }

  resume(): void {
    this.#pace.resume()
  }

  stop(): Promise<void> {
    this.#off()
    return this.#pace.stop()
  }

  async #perform(id: string): Promise<Outcome> {
    const wanted = this.#wanted.get(id)
    const { api, observer, clock, log, mayWrite } = this.#options
    const version = observer.versionOf(KIND)
    if (wanted === undefined || version === undefined) return DONE
    const name = nameOf(id)
    const path = resourcePath({ group: "gateway.networking.k8s.io", version, plural: "gatewayclasses", name })
    try {
      const object = await api.request({ path })
      const [uid, resourceVersion] = ["uid", "resourceVersion"].map((field) => text(object, "metadata", field))
      const before = list(object, "metadata", "finalizers")
      // To what is being deleted none can be added.
      const added = text(object, "metadata", "deletionTimestamp") === "" ? wanted.finalizers : []
      const finalizers = [...before.filter((each) => typeof each !== "string" || !GATEWAY_CLASS_FINALIZERS.includes(each) || wanted.finalizers.includes(each)), ...added.filter((each) => !before.includes(each))]
      // Said of another of that name: what is to be said of this one is on its way.
      const isMeant = wanted.uid === undefined || wanted.uid === uid
      if (isMeant && finalizers.join() !== before.join()) {
        if (!mayWrite()) return { is: "failed" }
        await api.request({ method: "PATCH", path, query: { fieldManager: MANAGER }, headers: { "content-type": "application/merge-patch+json" }, timeout: WRITE_WITHIN, body: { metadata: { uid, resourceVersion, finalizers } } })
      }
      this.#say(id, undefined)
      return DONE
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.status === 404) return DONE
      // Somebody else has just changed it.
      if (error.status === 409) return { is: "failed" }
      log({ level: "warn", message: "finalizers were not written", object: `${KIND} ${name}`, reason: error.message })
      this.#say(id, error)
      return pauseOf(error, clock)
    }
  }

  #say(id: string, error: ApiError | undefined): void {
    const name = nameOf(id)
    const refusal = error && refusalOf(error)
    this.#options.notes.say(`apply/finalizers/${id}`, error === undefined || refusal === undefined ? undefined : {
      severity: "error", reason: refusal.reason, about: { kind: "GatewayClass", namespace: "", name }, message: `The finalizers of GatewayClass ${name} were not written: ${error.message}`, fix: refusal.fix,
    })
  }
}

const nameOf = (id: string): string => id.slice(id.lastIndexOf("/") + 1)
