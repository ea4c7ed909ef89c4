/** The processes of the cluster: command lines and configuration. Why each unusual setting is there is said beside it. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Binaries } from "./binaries.ts"
import { NODE_ADDRESS, PODS, SERVICES, state } from "./place.ts"

export type Component = "etcd" | "kube-apiserver" | "containerd" | "kube-controller-manager" | "kube-scheduler" | "kubelet" | "kube-proxy" | "coredns"

/** Of a pod's own process, which the container runtime asks for. */
export const PAUSE_IMAGE = "headgate.test/pause:1"

const pki = (name: string): string => state("pki", name)

/** Command lines by component. Files they read are written by `configure`. */
export const commandOf = (component: Component, { hyperkube, coredns, debian }: Binaries): readonly string[] => {
  switch (component) {
    case "etcd":
      // Nothing of it outlives the cluster: no fsync.
      return [hyperkube, "etcd", "--name=node", `--data-dir=${state("etcd")}`, "--unsafe-no-fsync", "--log-level=warn", ...etcdAddresses]
    case "kube-apiserver":
      return [
        hyperkube, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443", `--advertise-address=${NODE_ADDRESS}`, `--service-cluster-ip-range=${SERVICES}`,
        "--allow-privileged=true", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--profiling=false",
        `--client-ca-file=${pki("ca.crt")}`, `--tls-cert-file=${pki("apiserver.crt")}`, `--tls-private-key-file=${pki("apiserver.key")}`,
        `--kubelet-client-certificate=${pki("kubelet-client.crt")}`, `--kubelet-client-key=${pki("kubelet-client.key")}`, `--kubelet-certificate-authority=${pki("ca.crt")}`, "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc", `--service-account-key-file=${pki("service-accounts.pub")}`, `--service-account-signing-key-file=${pki("service-accounts.key")}`,
        `--audit-policy-file=${state("audit.yaml")}`, `--audit-log-path=${state("log", "audit.log")}`,
      ]
    case "containerd":
      return [join(debian, "usr/bin/containerd"), "--config", state("containerd.toml")]
    case "kube-controller-manager":
      return [
        hyperkube, "kube-controller-manager", `--kubeconfig=${pki("controllers.kubeconfig")}`, "--use-service-account-credentials=true", "--leader-elect=false", "--profiling=false", "--bind-address=127.0.0.1",
        `--service-account-private-key-file=${pki("service-accounts.key")}`, `--root-ca-file=${pki("ca.crt")}`, `--cluster-signing-cert-file=${pki("ca.crt")}`, `--cluster-signing-key-file=${pki("ca.key")}`,
        `--service-cluster-ip-range=${SERVICES}`, "--allocate-node-cidrs=true", `--cluster-cidr=${PODS}`, "--flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins",
      ]
    case "kube-scheduler":
      return [hyperkube, "kube-scheduler", `--kubeconfig=${pki("scheduler.kubeconfig")}`, "--leader-elect=false", "--profiling=false", "--bind-address=127.0.0.1"]
    case "kubelet":
      return [hyperkube, "kubelet", `--config=${state("kubelet.yaml")}`, `--kubeconfig=${pki("kubelet.kubeconfig")}`, "--hostname-override=node", `--node-ip=${NODE_ADDRESS}`]
    case "kube-proxy":
      return [hyperkube, "kube-proxy", `--config=${state("proxy.yaml")}`, "--hostname-override=node"]
    case "coredns":
      return [coredns, "-conf", state("Corefile")]
  }
}

const etcdAddresses = ["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380", "--initial-cluster=node=http://127.0.0.1:2380"]

/** The runtime's programs are found by these; its libraries are not the system's. */
export const environment = ({ debian }: Binaries): NodeJS.ProcessEnv => ({
  PATH: `${join(debian, "usr/sbin")}:${join(debian, "usr/bin")}:/usr/sbin:/usr/bin:/sbin:/bin`,
  LD_LIBRARY_PATH: join(debian, "usr/lib/x86_64-linux-gnu"),
  XTABLES_LIBDIR: join(debian, "usr/lib/x86_64-linux-gnu/xtables"),
  HOME: "/root",
})

/** Everything but Events: who did what, without bodies. Tests hold calls really made against what is allowed. */
const audit = { apiVersion: "audit.k8s.io/v1", kind: "Policy", omitStages: ["RequestReceived"], rules: [{ level: "None", userGroups: ["system:nodes"] }, { level: "Metadata", userGroups: ["system:serviceaccounts"] }, { level: "None" }] }

const kubelet = {
  apiVersion: "kubelet.config.k8s.io/v1beta1", kind: "KubeletConfiguration",
  // Of cgroups the machine may have either version.
  failCgroupV1: false, cgroupDriver: "cgroupfs", containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
  address: NODE_ADDRESS, tlsCertFile: pki("kubelet.crt"), tlsPrivateKeyFile: pki("kubelet.key"),
  authentication: { anonymous: { enabled: false }, webhook: { enabled: false }, x509: { clientCAFile: pki("ca.crt") } }, authorization: { mode: "AlwaysAllow" },
  clusterDNS: [NODE_ADDRESS], clusterDomain: "cluster.local", resolvConf: state("resolv.conf"), volumePluginDir: "/var/lib/kubelet/volumeplugins",
  failSwapOn: false, maxPods: 250, evictionHard: { "memory.available": "100Mi" }, imageGCHighThresholdPercent: 100, imageGCLowThresholdPercent: 99,
  eventRecordQPS: 0, kubeAPIQPS: 200, kubeAPIBurst: 400, nodeStatusUpdateFrequency: "5s",
}

const proxy = {
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1", kind: "KubeProxyConfiguration", mode: "nftables", bindAddress: NODE_ADDRESS, clusterCIDR: PODS,
  clientConnection: { kubeconfig: pki("proxy.kubeconfig") }, healthzBindAddress: "127.0.0.1:10256", metricsBindAddress: "127.0.0.1:10249", nodePortAddresses: ["primary"],
  // Those of the machine cannot be written from a namespace.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  nftables: { syncPeriod: "30s", minSyncPeriod: "100ms" },
}

/** Routed links to pods, no bridge. */
const network = {
  cniVersion: "1.0.0", name: "headgate",
  plugins: [
    { type: "ptp", ipMasq: false, mtu: 1500, ipam: { type: "host-local", dataDir: "/run/cni-ipam", ranges: [[{ subnet: PODS.replace("/16", "/24") }]], routes: [{ dst: "0.0.0.0/0" }] } },
    { type: "portmap", capabilities: { portMappings: true }, snat: true },
  ],
}

// restrict_oom_score_adj: without CAP_SYS_RESOURCE runc dies when it lowers its score.
const containerd = ({ debian }: Binaries): string => `version = 2
root = "${state("containerd")}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "${join(debian, "usr/sbin/runc")}"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${join(debian, "usr/lib/cni")}"
    conf_dir = "${state("cni")}"
`

/** Of the cluster's own names: there is no other name server. A process of the node, so that it is there before the first pod. */
const corefile = `.:53 {
  bind ${NODE_ADDRESS}
  errors
  cache 5
  kubernetes cluster.local {
    kubeconfig ${pki("admin.kubeconfig")}
  }
}
`

/** JSON is YAML. */
export const configure = (programs: Binaries): void => {
  for (const folder of ["log", "cni", "etcd"]) mkdirSync(state(folder), { recursive: true })
  const files: Readonly<Record<string, unknown>> = { "audit.yaml": audit, "kubelet.yaml": kubelet, "proxy.yaml": proxy, "cni/10-headgate.conflist": network }
  for (const [name, value] of Object.entries(files)) writeFileSync(state(name), JSON.stringify(value, null, 2))
  writeFileSync(state("containerd.toml"), containerd(programs))
  writeFileSync(state("Corefile"), corefile)
  writeFileSync(state("resolv.conf"), `nameserver ${NODE_ADDRESS}\n`)
}
