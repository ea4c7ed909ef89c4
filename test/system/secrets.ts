/** TLS Secrets and HTTPS listeners as a user would write them, and a client that looks at what is presented. */
import { readFileSync } from "node:fs"
import { request } from "node:https"
import { connect, type PeerCertificate } from "node:tls"
import type { Issued } from "../fixtures/authority.ts"
import type { Manifest } from "./manifests.ts"

const base64 = (text: string): string => Buffer.from(text).toString("base64")

export const keyOf = (issued: Issued): string => readFileSync(issued.keyFile, "utf8")

export const secret = (name: string, crt: string, key: string, namespace = "default"): Manifest => ({
  apiVersion: "v1", kind: "Secret", metadata: { name, namespace }, type: "kubernetes.io/tls", data: { "tls.crt": base64(crt), "tls.key": base64(key) },
})

export interface HttpsListener {
  readonly name: string
  readonly port: number
  readonly hostname?: string
  readonly secrets: readonly { readonly name: string; readonly namespace?: string }[]
}

export const httpsGateway = (name: string, listeners: readonly HttpsListener[]): Manifest => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "Gateway",
  metadata: { name, namespace: "default" },
  spec: {
    gatewayClassName: "headgate",
    listeners: listeners.map(({ name: listener, port, hostname, secrets }) => ({ name: listener, protocol: "HTTPS", port, ...(hostname === undefined ? {} : { hostname }), tls: { certificateRefs: secrets } })),
  },
})

/** One in `from` may refer to the Secrets of `namespace`. */
export const grant = (namespace: string, from: string): Manifest => ({
  apiVersion: "gateway.networking.k8s.io/v1beta1", kind: "ReferenceGrant", metadata: { name: "gateways", namespace },
  spec: { from: [{ group: "gateway.networking.k8s.io", kind: "Gateway", namespace: from }], to: [{ group: "", kind: "Secret" }] },
})

export interface Presented {
  /** Of the leaf, as Issued has it. */
  readonly fingerprint256: string
  /** Common names up to the last one sent. */
  readonly chain: readonly string[]
  /** Why the client does not trust it, by node:tls's code. */
  readonly distrust: string | undefined
}

/** What a new client is shown; rejects when the handshake fails. `ca`: what it trusts. */
export const presented = (port: number, servername: string, ca: string): Promise<Presented> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, servername, ca, rejectUnauthorized: false }, () => {
      const peer = socket.getPeerCertificate(true)
      const { authorizationError } = socket
      resolve({ fingerprint256: peer.fingerprint256, chain: namesUp(peer), distrust: authorizationError === null || authorizationError === undefined ? undefined : authorizationError instanceof Error && "code" in authorizationError ? String(authorizationError.code) : String(authorizationError) })
      socket.destroy()
    })
    socket.on("error", reject)
    socket.setTimeout(5_000, () => socket.destroy(new Error("no handshake within 5 s")))
  })

const namesUp = (peer: PeerCertificate): readonly string[] => {
  const names: string[] = []
  const seen = new Set<string>()
  for (let at: { readonly fingerprint256: string; readonly subject: { readonly CN?: string | string[] }; readonly issuerCertificate?: PeerCertificate | undefined } | undefined = peer; at !== undefined && !seen.has(at.fingerprint256); at = at.issuerCertificate) {
    seen.add(at.fingerprint256)
    names.push(String(at.subject.CN))
  }
  return names
}

/** Status of a GET by a client that trusts `ca` and nothing else. */
export const askSecurely = (port: number, host: string, ca: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, servername: host, ca, headers: { host }, agent: false }, (response) => {
      response.resume()
      response.on("end", () => resolve(response.statusCode ?? 0))
    })
    asked.on("error", reject)
    asked.end()
  })
