/** The cluster's own certificate authority, a certificate for each component, and how each reaches the API server. */
import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { API_SERVICE, NODE_ADDRESS, state } from "./place.ts"

const folder = (): string => state("pki")
const path = (name: string): string => join(folder(), name)

const openssl = (...args: readonly string[]): void => {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] })
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]

const authority = (): void =>
  openssl("req", "-x509", ...EC, "-keyout", path("ca.key"), "-out", path("ca.crt"), "-subj", "/CN=headgate test cluster", "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")

const issue = (name: string, subject: string, names?: string): void =>
  openssl(
    "req", "-x509", ...EC, "-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-keyout", path(`${name}.key`), "-out", path(`${name}.crt`), "-subj", subject,
    "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature", "-addext", "extendedKeyUsage=serverAuth,clientAuth",
    ...(names === undefined ? [] : ["-addext", `subjectAltName=${names}`]),
  )

const kubeconfig = (name: string): void =>
  writeFileSync(path(`${name}.kubeconfig`), JSON.stringify({
    apiVersion: "v1", kind: "Config", "current-context": "headgate",
    clusters: [{ name: "headgate", cluster: { server: `https://${NODE_ADDRESS}:6443`, "certificate-authority": path("ca.crt") } }],
    users: [{ name, user: { "client-certificate": path(`${name}.crt`), "client-key": path(`${name}.key`) } }],
    contexts: [{ name: "headgate", context: { cluster: "headgate", user: name } }],
  }))

/** Who a client is, by file name. */
const CLIENTS: Readonly<Record<string, string>> = {
  admin: "/O=system:masters/CN=admin",
  controllers: "/CN=system:kube-controller-manager",
  scheduler: "/CN=system:kube-scheduler",
  proxy: "/CN=system:kube-proxy",
}

export const makePki = (): void => {
  mkdirSync(folder(), { recursive: true, mode: 0o700 })
  authority()
  const service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
  issue("apiserver", "/CN=kube-apiserver", [...["localhost", ...service].map((name) => `DNS:${name}`), ...["127.0.0.1", NODE_ADDRESS, API_SERVICE].map((address) => `IP:${address}`)].join(","))
  issue("kubelet", "/O=system:nodes/CN=system:node:node", `DNS:node,IP:${NODE_ADDRESS}`)
  issue("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
  for (const [name, subject] of Object.entries(CLIENTS)) issue(name, subject)
  openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path("service-accounts.key"))
  openssl("pkey", "-in", path("service-accounts.key"), "-pubout", "-out", path("service-accounts.pub"))
  for (const name of ["kubelet", ...Object.keys(CLIENTS)]) kubeconfig(name)
}
