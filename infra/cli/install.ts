/** `headgate install` and `uninstall`: an installation in the cluster of KUBECONFIG, put there and taken away again. */
import { setTimeout as pause } from "node:timers/promises"
import { HEADGATE_GROUP } from "../../bus/kinds/installation.ts"
import { GATEWAY_CLASS_FINALIZERS } from "../../bus/kinds/status.ts"
import { ApiError } from "../adapters/kubernetes/api-error.ts"
import { type ApiClient, resourcePath } from "../adapters/kubernetes/client.ts"
import { isJson, listOf, memberOf, textOf } from "../adapters/kubernetes/raw.ts"
import { PLURAL } from "../manifests/crd.ts"
import { manifests } from "../manifests/manifests.ts"
import { ADAPTER, INSTALLATION_LABEL, isExternal, type InstallOptions, type Manifest } from "../manifests/options.ts"
import { AUTHORITY, CREDENTIALS_SECRET } from "../manifests/nats.ts"
import { isMade, kindsToRemove, labelled, pathOf, type Place, placeOf, placeText, put, read, take } from "./install-objects.ts"
import { untilRolledOut } from "./install-ready.ts"

type Api = Pick<ApiClient, "request">
export type Say = (line: string) => void

export interface InstallRun {
  readonly api: Api
  readonly say: Say
  /** Until everything is ready, ms. */
  readonly timeout: number
}

const GATEWAY_API = "https://gateway-api.sigs.k8s.io/guides/getting-started/introduction/#install-standard-channel"

/** Idempotent; over an older installation an upgrade. Rejects with Error that says what is missing or not ready. */
export const install = async (options: InstallOptions, { api, say, timeout }: InstallRun): Promise<void> => {
  await gatewayApi(api)
  await credentials(options, api)
  const wanted = manifests(options)
  for (const manifest of wanted) {
    const place = placeOf(manifest)
    if (manifest.kind === "GatewayClass") await freeClass(api, options, place)
    if (manifest.kind === "GatewayClass" || manifest.kind === "Namespace") {
      const there = await read(api, pathOf(place))
      if (isJson(there) && !isMade(there)) {
        say(`  left      ${placeText(place)} (it was there before)`)
        continue
      }
    }
    const done = await put(api, manifest.kind === "CustomResourceDefinition" ? await asItIs(api, manifest) : manifest)
    say(`  ${done.padEnd(9)} ${placeText(place)}`)
  }
  const stays = new Set(wanted.map((manifest) => placeText(placeOf(manifest))))
  for (const place of await made(api, options.namespace)) {
    // Of an installation before that had more: its namespace is not for an upgrade to take away.
    if (stays.has(placeText(place)) || place.kind === "Namespace" || place.kind === "CustomResourceDefinition") continue
    const users = place.kind === "GatewayClass" ? await gatewaysOf(api, place.name) : 0
    if (place.kind === "GatewayClass") await letGo(api, (controller, name) => name === place.name && controller !== options.controllerName, say)
    if (users > 0) say(`  left      ${placeText(place)} (${users} ${users === 1 ? "Gateway uses it and would go" : "Gateways use it and would go"} unserved)`)
    else if (await take(api, place)) say(`  removed   ${placeText(place)}`)
  }
  await untilRolledOut(api, wanted.map(placeOf).filter(isWorkload), say, timeout)
}

/** Removes what `install` made there. What was made for Gateways goes with their owners. Idempotent. */
export const uninstall = async (namespace: string, { api, say, timeout }: InstallRun): Promise<void> => {
  const all = await made(api, namespace)
  const leaves = await sharedDefinition(api, namespace)
  const controllerName = await controllerOf(api, namespace, all)
  const remove = async (place: Place): Promise<void> => {
    if (place.kind === "CustomResourceDefinition" && leaves !== undefined) say(`  left      ${placeText(place)} (${leaves})`)
    else if (await take(api, place)) say(`  removed   ${placeText(place)}`)
  }
  // First who acts: a class that goes while they look would take along what is served.
  const workloads = all.filter(isWorkload)
  for (const place of workloads) await remove(place)
  const classes = all.flatMap(({ kind, name }) => (kind === "GatewayClass" ? [name] : []))
  // Also where they do not go in time: whose classes they served, nothing tells once they have gone.
  try {
    await untilGone(api, workloads, namespace, timeout)
  } finally {
    await letGo(api, (controller, name) => (controllerName !== "" && controller === controllerName) || classes.includes(name), say)
  }
  for (const place of all) if (!isWorkload(place) && place.kind !== "Namespace") await remove(place)
  for (const name of [CREDENTIALS_SECRET, AUTHORITY]) {
    const path = resourcePath({ group: "", version: "v1", plural: "secrets", namespace, name })
    if (textOf(memberOf(memberOf(await read(api, path), "metadata"), "labels")["app.kubernetes.io/managed-by"]) !== "headgate") continue
    await api.request({ method: "DELETE", path })
    say(`  removed   Secret ${namespace}/${name}`)
  }
  const space = all.find(({ kind }) => kind === "Namespace")
  if (space !== undefined) {
    const others = await foreign(api, namespace)
    if (others.length > 0) say(`  left      ${placeText(space)} (there is more in it: ${others.slice(0, 3).join(", ")}${others.length > 3 ? " …" : ""})`)
    else if (await take(api, space)) {
      say(`  removed   ${placeText(space)}`)
      await until(timeout, `${placeText(space)} is still there`, async () => (await read(api, `/api/v1/namespaces/${namespace}`)) === undefined)
    }
  }
  if (all.length === 0) say(`there is no installation in namespace ${namespace}`)
}

const isWorkload = ({ kind }: Place): boolean => kind === "Deployment" || kind === "StatefulSet"

/** What carries the installation's label where installing puts such things, in the order in which it is taken away; and what all installations share. */
const made = async (api: Api, namespace: string): Promise<readonly Place[]> => {
  const all: Place[] = []
  for (const kind of kindsToRemove) all.push(...(await labelled(api, kind, kind === "CustomResourceDefinition" ? undefined : namespace)).filter((place) => isPlaceOf(place, namespace)))
  return all.some(({ kind }) => kind !== "CustomResourceDefinition") ? all : []
}

/** Labels are copied, and their authors not always asked: of other namespaces only rights in them were made, and no namespace but its own. */
const isPlaceOf = ({ kind, namespace, name }: Place, installation: string): boolean => {
  switch (kind) {
    case "Namespace":
      return name === installation
    case "CustomResourceDefinition":
      return name === `${PLURAL}.${HEADGATE_GROUP}`
    case "Role":
    case "RoleBinding":
      return true
    default:
      return namespace === "" || namespace === installation
  }
}

/** Of what installations share: whose it was it stays, also nobody's. */
const asItIs = async (api: Api, manifest: Manifest): Promise<Manifest> => {
  const there = await read(api, pathOf(placeOf(manifest)))
  if (there === undefined) return manifest
  const owner = textOf(memberOf(memberOf(there, "metadata"), "labels")[INSTALLATION_LABEL])
  const labels = Object.fromEntries(Object.entries(manifest.metadata.labels ?? {}).flatMap(([name, value]) => (name !== INSTALLATION_LABEL ? [[name, value]] : owner === "" ? [] : [[name, owner]])))
  return { ...manifest, metadata: { ...manifest.metadata, labels } }
}

const gatewayApi = async (api: Api): Promise<void> => {
  if ((await read(api, "/apis/gateway.networking.k8s.io/v1")) !== undefined) return
  throw new Error(`this cluster does not know the Gateway API, which is installed apart from Headgate (it may serve several controllers): ${GATEWAY_API}`)
}

/** Of a bus of the user's: pods would wait for a Secret that is not there. */
const credentials = async ({ namespace, nats }: InstallOptions, api: Api): Promise<void> => {
  if (!isExternal(nats)) return
  const found = await read(api, resourcePath({ group: "", version: "v1", plural: "secrets", namespace, name: nats.credentials }))
  const missing = ["adapter", "functions", "history"].filter((role) => textOf(memberOf(found, "data")[role]) === "")
  if (missing.length > 0) throw new Error(`Secret ${namespace}/${nats.credentials} needs a file of credentials for each of ${missing.join(", ")}: {"user": …, "password": …} (bus/README.md tells which users there are)`)
}

/** A GatewayClass has one controller for good, and belongs to one installation. */
const freeClass = async (api: Api, { namespace, controllerName }: InstallOptions, place: Place): Promise<void> => {
  const there = await read(api, resourcePath({ group: "gateway.networking.k8s.io", version: "v1", plural: "gatewayclasses", name: place.name }))
  if (there === undefined) return
  const controller = textOf(memberOf(there, "spec")["controllerName"])
  const owner = textOf(memberOf(memberOf(there, "metadata"), "labels")[INSTALLATION_LABEL])
  if (controller !== controllerName) throw new Error(`${placeText(place)} is there and of controller ${controller}: choose another name with --gateway-class, or none with --gateway-class ""`)
  if (owner !== "" && owner !== namespace) throw new Error(`${placeText(place)} is of the installation in namespace ${owner}: two installations need two controllers (--controller-name, --gateway-class)`)
}

const gatewaysOf = async (api: Api, className: string): Promise<number> =>
  listOf(await read(api, "/apis/gateway.networking.k8s.io/v1/gateways"), "items").filter((item) => memberOf(item, "spec")["gatewayClassName"] === className).length

/** Why the definition of GatewayParameters stays; undefined: nobody needs it. */
const sharedDefinition = async (api: Api, namespace: string): Promise<string | undefined> => {
  const bindings = listOf(await read(api, `/apis/rbac.authorization.k8s.io/v1/clusterrolebindings?labelSelector=${INSTALLATION_LABEL}`), "items")
  const other = bindings.map((item) => textOf(memberOf(memberOf(item, "metadata"), "labels")[INSTALLATION_LABEL])).find((one) => one !== namespace)
  if (other !== undefined) return `the installation in namespace ${other} needs it`
  const used = listOf(await read(api, "/apis/headgate.dev/v1alpha1/gatewayparameters"), "items")
  return used.length > 0 ? `there are ${used.length} GatewayParameters, which would go with it` : undefined
}

/** Whose classes an installation serves: as its adapter is told, else as the class that it made says; "": neither is there. */
const controllerOf = async (api: Api, namespace: string, all: readonly Place[]): Promise<string> => {
  const deployment = await read(api, pathOf({ kind: "Deployment", namespace, name: ADAPTER }))
  const [container] = listOf(memberOf(memberOf(memberOf(deployment, "spec"), "template"), "spec"), "containers")
  const args = listOf(container, "args")
  if (args.includes("--controller-name")) return textOf(args[args.indexOf("--controller-name") + 1])
  const made = all.find(({ kind }) => kind === "GatewayClass")
  return made === undefined ? "" : textOf(memberOf(await read(api, pathOf(made)), "spec")["controllerName"])
}

/** Nobody is there any more who takes our finalizers away once no Gateway uses a class: it could never be deleted. */
const letGo = async (api: Api, isUnserved: (controller: string, name: string) => boolean, say: Say): Promise<void> => {
  for (const item of listOf(await read(api, "/apis/gateway.networking.k8s.io/v1/gatewayclasses"), "items")) {
    const metadata = memberOf(item, "metadata")
    const before = listOf(metadata, "finalizers")
    const finalizers = before.filter((each) => !GATEWAY_CLASS_FINALIZERS.some((own) => own === each))
    if (finalizers.length === before.length || !isUnserved(textOf(memberOf(item, "spec")["controllerName"]), textOf(metadata["name"]))) continue
    const place: Place = { kind: "GatewayClass", namespace: "", name: textOf(metadata["name"]) }
    await api.request({ method: "PATCH", path: pathOf(place), headers: { "content-type": "application/merge-patch+json" }, body: { metadata: { resourceVersion: textOf(metadata["resourceVersion"]), finalizers } } })
    say(`  let go    ${placeText(place)}`)
  }
}

const untilGone = async (api: Api, workloads: readonly Place[], namespace: string, timeout: number): Promise<void> => {
  if (workloads.length === 0) return
  const selector = encodeURIComponent(`${INSTALLATION_LABEL}=${namespace}`)
  await until(timeout, "pods are still there", async () => listOf(await read(api, `/api/v1/namespaces/${namespace}/pods?labelSelector=${selector}`), "items").length === 0)
}

/** What else is in a namespace, but for what every namespace has and what comes and goes with pods. */
const foreign = async (api: Api, namespace: string): Promise<readonly string[]> => {
  const found: string[] = []
  for (const [group, plural] of [["", "pods"], ["", "services"], ["", "secrets"], ["", "configmaps"], ["", "persistentvolumeclaims"], ["", "serviceaccounts"], ["apps", "deployments"], ["apps", "statefulsets"], ["apps", "daemonsets"], ["gateway.networking.k8s.io", "gateways"]] as const) {
    const all = listOf(await read(api, resourcePath({ group, version: "v1", plural, namespace })), "items")
    for (const item of all) {
      const metadata = memberOf(item, "metadata")
      const name = textOf(metadata["name"])
      if (metadata["deletionTimestamp"] === undefined && !["kube-root-ca.crt", "default"].includes(name)) found.push(`${plural}/${name}`)
    }
  }
  return found
}

const until = async (timeout: number, what: string, condition: () => Promise<boolean>): Promise<void> => {
  const deadline = performance.now() + timeout
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what} after ${Math.round(timeout / 1000)} s`)
    await pause(300)
  }
}

/** What the API server says is for people too. */
export const withReason = (error: unknown): Error =>
  error instanceof ApiError ? new Error(error.status === 403 ? `${error.message}: installing needs the rights of a cluster's administrator` : error.message, { cause: error }) : error instanceof Error ? error : new Error(String(error))
