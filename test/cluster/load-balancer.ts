/**
 * What a cloud does for Services of type LoadBalancer: each gets an address of 10.124.0.0/16, the one it asks for in
 * spec.loadBalancerIP where that is of them. Run with the path of a kubeconfig, inside the node's network.
 */
import { readFileSync } from "node:fs"
import { Agent, request } from "undici"
import { LOAD_BALANCERS } from "./place.ts"

interface Service {
  readonly metadata: { readonly namespace: string; readonly name: string }
  readonly spec: { readonly type?: string; readonly loadBalancerIP?: string }
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } }
}

const [first = 0, second = 0] = LOAD_BALANCERS.split(".").map(Number)
const isOurs = (address: string): boolean => address.startsWith(`${first}.${second}.`)

const kubeconfig: { clusters: { cluster: Record<string, string> }[]; users: { user: Record<string, string> }[] } = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"))
const cluster = kubeconfig.clusters[0]?.cluster ?? {}
const user = kubeconfig.users[0]?.user ?? {}
const pem = (path: string | undefined): string => readFileSync(path ?? "", "utf8")
const dispatcher = new Agent({ bodyTimeout: 0, allowH2: false, connect: { ca: pem(cluster["certificate-authority"]), cert: pem(user["client-certificate"]), key: pem(user["client-key"]) } })
const ask = (path: string, method: "GET" | "PATCH" = "GET", body?: object) =>
  request(`${cluster["server"]}${path}`, { dispatcher, method, headers: { "content-type": "application/merge-patch+json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })

/** Address → who has it. */
const taken = new Map<string, string>()
const keyOf = ({ metadata }: Service): string => `${metadata.namespace}/${metadata.name}`
const addressOf = ({ status }: Service): string | undefined => status?.loadBalancer?.ingress?.[0]?.ip

let last = 0
const anyFree = (): string => {
  for (;;) {
    last = (last % 0x7fff) + 1
    const address = `${first}.${second}.${last >> 8}.${last & 0xff}`
    if ((last & 0xff) !== 0 && (last & 0xff) !== 255 && !taken.has(address)) return address
  }
}

const give = async (service: Service): Promise<void> => {
  const key = keyOf(service)
  const has = addressOf(service)
  if (service.spec.type !== "LoadBalancer") return release(key)
  if (has !== undefined) return void taken.set(has, key)
  const asked = service.spec.loadBalancerIP
  if (asked !== undefined && asked !== "" && (!isOurs(asked) || (taken.get(asked) ?? key) !== key)) return
  const address = asked === undefined || asked === "" ? anyFree() : asked
  taken.set(address, key)
  const { statusCode, body } = await ask(`/api/v1/namespaces/${service.metadata.namespace}/services/${service.metadata.name}/status`, "PATCH", { status: { loadBalancer: { ingress: [{ ip: address }] } } })
  const said = await body.text()
  if (statusCode >= 300) console.log(`${key} ${address}: ${statusCode} ${said}`)
}

const release = (key: string): void => {
  for (const [address, of] of taken) if (of === key) taken.delete(address)
}

/** One list and the watch after it; ends when the watch does. */
const follow = async (): Promise<void> => {
  const listed: unknown = await (await ask("/api/v1/services")).body.json()
  if (!isList(listed)) throw new Error(`no list of Services: ${JSON.stringify(listed)}`)
  taken.clear()
  for (const service of listed.items) if (addressOf(service) !== undefined) await give(service)
  for (const service of listed.items) await give(service)
  const { body } = await ask(`/api/v1/services?watch=true&resourceVersion=${listed.metadata.resourceVersion}&timeoutSeconds=300`)
  let rest = ""
  for await (const chunk of body) {
    const lines = (rest + String(chunk)).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const { type, object }: { type: string; object: Service } = JSON.parse(line)
      if (type === "ADDED" || type === "MODIFIED") await give(object)
      else if (type === "DELETED") release(keyOf(object))
      else return
    }
  }
}

const isList = (value: unknown): value is { readonly metadata: { readonly resourceVersion: string }; readonly items: readonly Service[] } => typeof value === "object" && value !== null && "items" in value

for (;;) {
  try {
    await follow()
  } catch (error) {
    console.log(error)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}
