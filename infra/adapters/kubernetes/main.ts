/** `headgate adapter kubernetes`: a cluster's API server as a source of resources, and where what functions want is done. */
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Exit } from "effect"
import { connectBus } from "../../../bus/jetstream.ts"
import { type Installation, OWN_CONTROLLER } from "../../../bus/kinds/installation.ts"
import { tracingOf } from "../../../bus/trace/start.ts"
import { kubernetesAdapter } from "./adapter.ts"
import { connectApi } from "./client.ts"

const NAMESPACE = "headgate-system"

const HELP = `headgate adapter kubernetes --image IMAGE --gateway-nats URL [options]

Publishes what counts of the cluster's objects to the bus at HEADGATE_NATS_URL, as they change, and does in the cluster
what functions want: statuses, and the pods and Services of Gateways. The API server is that of KUBECONFIG, else that of
the pod's service account. Several may run: one at a time publishes and writes.

  --controller-name NAME   GatewayClasses of this controller are ours (default ${OWN_CONTROLLER})
  --namespace NS           of the installation (default ${NAMESPACE})
  --watch-namespaces A,B   only objects of these namespaces count (default: all)
  --image IMAGE            of gateway pods
  --gateway-nats URL       the bus as gateway pods reach it: nats://headgate-nats.${NAMESPACE}.svc:4222
  --authority DIR          who signs certificates with which gateway pods come to the bus: ca.crt, ca.key (default: they show none)
  --mode MODE              Dedicated: pods for each Gateway; Shared: for all of a GatewayClass (default Dedicated)
  --watch-only             does nothing in the cluster
  --forget-after DAYS      forget deleted objects after so many days (default 7)
  --help

Environment: KUBECONFIG, HEADGATE_NATS_URL (default nats://127.0.0.1:4222), HEADGATE_NATS_CREDENTIALS (file with user and
password), HEADGATE_HOLDER (whose leases: the same holder takes them over at once, another waits), HEADGATE_TRACES=on (also
for the gateways it runs) and OTEL_EXPORTER_OTLP_ENDPOINT (traces of edits: headgate trace).
Exit status: 0 ended by a signal, 1 failed, 2 the command line is wrong.
`

export const main = async (argv: string[]): Promise<void> => {
  const flags = readFlags(argv)
  if (flags === undefined) return
  const holder = process.env["HEADGATE_HOLDER"] ?? `${hostname()}-${randomUUID().slice(0, 8)}`
  const tracing = await tracingOf(process.env, { part: "adapter", service: "headgate-adapter-kubernetes", instance: holder })
  const traces = tracing && { edits: new (await import("./edit-trace.ts")).EditTraces(tracing), writes: new (await import("./apply/write-trace.ts")).WriteTraces(tracing) }
  const api = connectApi()
  NodeRuntime.runMain(
    kubernetesAdapter({
      connect: async (signal) => {
        const bus = await connectBus({ url: process.env["HEADGATE_NATS_URL"] ?? "nats://127.0.0.1:4222", name: "adapter.kubernetes", signal })
        return tracing?.attach(bus) ?? bus
      },
      api, holder, ...traces, ...flags,
      log: (line) => void process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`),
    }),
    {
      teardown: (exit, onExit) => {
        const end = (): void => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
        void Promise.all([api.close(), tracing?.stop()]).then(end, end)
      },
    },
  )
}

interface Flags {
  readonly controllerName: string
  readonly namespaces: readonly string[] | undefined
  readonly installation: Installation
  readonly applies: boolean
  readonly authority: string | undefined
  readonly forgetAfter: number
}

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const MODES = ["Dedicated", "Shared"] as const

const readFlags = (argv: readonly string[]): Flags | undefined => {
  const wrong = (message: string): undefined => {
    process.stderr.write(`headgate adapter kubernetes: ${message}\n`)
    process.exitCode = 2
  }
  const text = { type: "string" } as const
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        "controller-name": { ...text, default: OWN_CONTROLLER }, namespace: { ...text, default: NAMESPACE }, "watch-namespaces": { ...text, default: "" }, image: text, "gateway-nats": text, authority: text,
        mode: { ...text, default: "Dedicated" }, "watch-only": { type: "boolean", default: false }, "forget-after": { ...text, default: "7" }, help: { type: "boolean", short: "h" },
      },
    })
    if (values.help === true) {
      process.stdout.write(HELP)
      return undefined
    }
    const { image, "gateway-nats": nats, namespace } = values
    if (image === undefined || image === "") return wrong("--image IMAGE is needed; --help tells more")
    if (nats === undefined || nats === "") return wrong("--gateway-nats URL is needed; --help tells more")
    const mode = MODES.find((each) => each === values.mode)
    if (mode === undefined) return wrong(`--mode is ${MODES.join(" or ")}, not "${values.mode}"`)
    const namespaces = values["watch-namespaces"].split(",").map((each) => each.trim()).filter((each) => each !== "")
    const odd = [namespace, ...namespaces].find((each) => !LABEL.test(each))
    if (odd !== undefined) return wrong(`"${odd}" is not the name of a namespace`)
    const days = Number(values["forget-after"])
    if (!(days > 0)) return wrong("--forget-after takes a number of days above 0")
    return {
      controllerName: values["controller-name"], namespaces: namespaces.length === 0 ? undefined : namespaces, applies: !values["watch-only"], authority: values.authority, forgetAfter: days * 86_400_000,
      installation: { schema: 1, namespace, image, nats, mode, ...(values.authority === undefined ? {} : { natsTls: true }), ...(process.env["HEADGATE_TRACES"] === "on" ? { traces: true } : {}) },
    }
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error))
  }
}
