/** The Kubernetes adapter: what the API server holds as resources, and what functions want done carried out in the cluster. */
import { Effect } from "effect"
import { mountedAuthority } from "../nats/credentials.ts"
import { publishing, type SessionOptions } from "../publish/session.ts"
import { Apply } from "./apply/apply.ts"
import type { WriteTraces } from "./apply/write-trace.ts"
import { KubernetesSource, type KubernetesSourceOptions } from "./source.ts"

export interface KubernetesAdapterOptions extends Omit<SessionOptions, "adapter" | "during">, KubernetesSourceOptions {
  /** Undefined: tracing is off. */
  readonly writes?: WriteTraces | undefined
  /** False: it only watches. */
  readonly applies: boolean
  /** Folder with who signs certificates for data planes (nats/credentials.ts); undefined: they need none. */
  readonly authority?: string | undefined
}

export const LEASE = "adapter.kubernetes"

/** Runs until interrupted; then sends what is on its way, gives its leases back and closes. */
export const kubernetesAdapter = (options: KubernetesAdapterOptions): Effect.Effect<never> =>
  Effect.gen(function* () {
    // What shared data planes are made of is in the installation's own.
    const namespaces = options.namespaces && [...new Set([...options.namespaces, options.installation.namespace])]
    const source = new KubernetesSource({ ...options, namespaces })
    yield* Effect.addFinalizer(() => Effect.sync(() => source.close()))
    const { api, controllerName, installation, holder, log, applies, writes, authority } = options
    return yield* publishing({
      ...options, adapter: LEASE,
      ...(applies ? { during: ({ bus, epoch, end }) => new Apply({
        bus, api, controllerName, namespaces, holder, epoch, observer: source.observer, notes: { say: (id, note) => source.say(id, note) }, installation: installation.namespace,
        log, traces: writes, authority: authority === undefined ? undefined : () => mountedAuthority(authority), onLost: (reason) => end(`the store was lost: ${reason}`),
      }) } : {}),
    }, source)
  }).pipe(Effect.scoped)
