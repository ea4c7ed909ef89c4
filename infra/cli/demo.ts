/** The demo of one data folder: its own copy of infra/demo, to play with, and two backends on ports of its own. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "./free-port.ts"

/** Of the listener in infra/demo. */
const PORT = 8080

export interface DemoBackend {
  readonly name: string
  readonly port: number
}

/** `<data>/demo`, made when missing; kept as the user left it otherwise. */
export const prepareDemo = async (data: string): Promise<{ readonly manifests: string; readonly backends: readonly DemoBackend[] }> => {
  const manifests = join(data, "demo")
  mkdirSync(manifests, { recursive: true })
  const source = join(import.meta.dirname, "..", "demo")
  const missing = readdirSync(source).filter((name) => !existsSync(join(manifests, name)))
  // Two demos live beside each other: who has the port when the copy is made keeps it. Of two that start together one moves (moveDemo).
  const port = missing.length === 0 ? PORT : await freePort(PORT)
  for (const name of missing) writeFileSync(join(manifests, name), readFileSync(join(source, name), "utf8").replaceAll(String(PORT), String(port)))
  const services = join(manifests, "services.yaml")
  const before = existsSync(services) ? portsIn(readFileSync(services, "utf8")) : []
  const backends: DemoBackend[] = []
  for (const [i, name] of ["apple", "pear"].entries()) backends.push({ name, port: before[i] ?? (await freePort()) })
  const text = backends.map(service).join("---\n")
  if (!existsSync(services) || readFileSync(services, "utf8") !== text) writeFileSync(services, text)
  return { manifests, backends }
}

/** Another process has the demo's port after all: it moves to a free one. Undefined when no listener of it asks for `port`. */
export const moveDemo = async (manifests: string, port: number): Promise<number | undefined> => {
  if ((await freePort(port)) === port) return undefined
  const file = join(manifests, "gateway.yaml")
  const text = readFileSync(file, "utf8")
  const asked = new RegExp(`^( *port: )${port}$`, "m")
  if (!asked.test(text)) return undefined
  const free = await freePort()
  writeFileSync(file, text.replace(asked, `$1${free}`))
  return free
}

const portsIn = (text: string): readonly number[] => [...text.matchAll(/^ {2}- port: (\d+)$/gm)].map((match) => Number(match[1]))

const service = ({ name, port }: DemoBackend): string => `apiVersion: v1
kind: Service
metadata:
  name: ${name}
  namespace: default
spec:
  ports:
    - name: http
      port: 80
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: ${name}-1
  namespace: default
  labels:
    kubernetes.io/service-name: ${name}
addressType: IPv4
ports:
  - port: ${port}
    name: http
endpoints:
  - addresses: ["127.0.0.1"]
`
