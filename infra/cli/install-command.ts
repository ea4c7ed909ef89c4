/** `headgate install` and `headgate uninstall`. */
import { Option } from "effect"
import { Command, Flag } from "effect/cli"
import { withoutPassword } from "../../bus/access.ts"
import type { ApiClient } from "../adapters/kubernetes/client.ts"
import { DEFAULTS, type InstallOptions } from "../manifests/options.ts"
import { attempt, failure } from "./command.ts"

const namespace = Flag.String("namespace").pipe(Flag.withAlias("n"), Flag.withDescription("Of the installation"), Flag.withDefault(DEFAULTS.namespace))
const timeout = Flag.Int("timeout").pipe(Flag.withDescription("Seconds to wait for it"), Flag.withDefault(180))
const say = (line: string): void => void process.stderr.write(`${line}\n`)

const flags = {
  namespace, timeout,
  dryRun: Flag.Boolean("dry-run").pipe(Flag.withDescription("Print the manifests and ask no cluster"), Flag.withDefault(false)),
  controllerName: Flag.String("controller-name").pipe(Flag.withDescription("GatewayClasses of this controller are ours"), Flag.withDefault(DEFAULTS.controllerName)),
  gatewayClass: Flag.String("gateway-class").pipe(Flag.withDescription('Name of the GatewayClass that is made; "": none'), Flag.withDefault(DEFAULTS.gatewayClass)),
  watchNamespaces: Flag.String("watch-namespaces").pipe(Flag.withDescription("A,B: objects of these namespaces alone (default: all)"), Flag.withDefault("")),
  image: Flag.String("image").pipe(Flag.withDescription("Of every pod"), Flag.withDefault(DEFAULTS.image)),
  mode: Flag.Literals("mode", ["Dedicated", "Shared"]).pipe(Flag.withDescription("Gateway pods of each Gateway's own, or shared by a class, where GatewayParameters say nothing"), Flag.withDefault(DEFAULTS.mode)),
  traces: Flag.Boolean("traces").pipe(Flag.withDescription("Trace every edit: headgate trace"), Flag.withDefault(false)),
  natsReplicas: Flag.Literals("nats-replicas", ["1", "3"]).pipe(Flag.withDescription("nats-servers that keep the log together"), Flag.withDefault("1")),
  natsStorage: Flag.String("nats-storage").pipe(Flag.withDescription("Size of each one's volume, as 8Gi (default: none, the log lives as long as its pod)"), Flag.optional),
  natsUrl: Flag.String("nats-url").pipe(Flag.withDescription("A NATS of yours, instead"), Flag.optional),
  natsCredentials: Flag.String("nats-credentials").pipe(Flag.withDescription("Secret of the installation's namespace with the credentials of each role on it"), Flag.withDefault("headgate-nats-credentials")),
}

/** A Kubernetes name (RFC 1123 label). */
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

export const installCommand = Command.make("install", flags, (given) =>
  attempt(async () => {
    const watchNamespaces = given.watchNamespaces.split(",").map((name) => name.trim()).filter((name) => name !== "")
    for (const name of [given.namespace, ...watchNamespaces]) if (!NAME.test(name)) throw failure(`"${name}" is no name of a namespace`)
    if (!/^[^/]+\/.+$/.test(given.controllerName)) throw failure(`--controller-name takes DOMAIN/PATH, as headgate.dev/gateway, not "${given.controllerName}"`)
    const storage = Option.getOrUndefined(given.natsStorage)
    const url = Option.getOrUndefined(given.natsUrl)
    if (url !== undefined && withoutPassword(url) !== url) throw failure("--nats-url is seen by everybody who sees pods: user and password belong in the Secret of --nats-credentials")
    const options: InstallOptions = {
      namespace: given.namespace, controllerName: given.controllerName, gatewayClass: given.gatewayClass, watchNamespaces: [...new Set(watchNamespaces)].sort(), image: given.image, mode: given.mode, traces: given.traces,
      nats: url === undefined ? { replicas: given.natsReplicas === "3" ? 3 : 1, ...(storage === undefined ? {} : { storage }) } : { url, credentials: given.natsCredentials },
    }
    if (given.dryRun) {
      const { manifests, yamlOf } = await import("../manifests/manifests.ts")
      return void process.stdout.write(yamlOf(manifests(options)))
    }
    const { install } = await import("./install.ts")
    await inCluster((api) => install(options, { api, say, timeout: given.timeout * 1000 }))
    process.stdout.write(`Headgate runs in namespace ${options.namespace}.${options.gatewayClass === "" ? "" : ` Gateways of class ${options.gatewayClass} are served.`}\n`)
  }),
).pipe(
  Command.withShortDescription("Install into the cluster of KUBECONFIG, or bring an installation up to date"),
  Command.withDescription(`Install into the cluster of KUBECONFIG, or bring an installation up to date.

  Everything is applied by the server, as often as you like, and waited for. --dry-run prints it instead.
  Exit status: 1 something is missing, or not ready in time.`),
)

export const uninstallCommand = Command.make("uninstall", { namespace, timeout }, (given) =>
  attempt(async () => {
    const { uninstall } = await import("./install.ts")
    await inCluster((api) => uninstall(given.namespace, { api, say, timeout: given.timeout * 1000 }))
  }),
).pipe(
  Command.withShortDescription("Take an installation away"),
  Command.withDescription(`Take an installation away: what install has made there, and nothing else.

  Gateways and routes stay, unserved; so does the definition of GatewayParameters while somebody uses it.
  Exit status: 1 something is still there after the time.`),
)

const inCluster = async (run: (api: ApiClient) => Promise<void>): Promise<void> => {
  const { connectApi } = await import("../adapters/kubernetes/client.ts")
  const { withReason } = await import("./install.ts")
  const api = connectApi()
  try {
    await run(api)
  } catch (error) {
    throw withReason(error)
  } finally {
    await api.close()
  }
}
