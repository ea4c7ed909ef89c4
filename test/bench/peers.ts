/**
 * Other proxies that serve the same table with the same duties: one core, kept-alive connections on both sides,
 * X-Forwarded-*, a request id, an access log as JSON in a file, collected before it is written where the proxy can.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"

/** `hosts` names with `prefixes` paths each. */
export interface Grid {
  readonly hosts: number
  readonly prefixes: number
}

export const hostOf = (index: number) => `h${index}.example`
export const prefixOf = (index: number) => `/p${index}`

const indexes = (count: number) => Array.from({ length: count }, (_, index) => index)

export interface Place {
  /** For configuration, logs and pids. */
  readonly folder: string
  readonly address: string
  readonly port: number
  readonly backend: number
  readonly grid: Grid
  /** Files in PEM; `bundle` has both. Absent: in clear. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly bundle: string }
  /** Clients speak HTTP/2: over TLS by ALPN, in clear with prior knowledge. */
  readonly http2?: boolean
  /** The backend speaks HTTP/2 in clear. */
  readonly grpc?: boolean
  /** Bodies have buffers of 64 KB where a proxy lets one say so. */
  readonly largeBuffers?: boolean
  /** WebSocket goes through. */
  readonly upgrades?: boolean
}

/** Octets of what the nginx backend has at `<prefix>/large`. */
export const LARGE = 1_048_576
/** What it says to a gRPC call: one message of 16 octets (not compressed), then `grpc-status: 0`. */
const GRPC_MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 0, 16]), Buffer.alloc(16, "m")])

/** A program with its arguments; runs in the foreground, its stdout goes to a file. */
export type Command = readonly [program: string, ...args: string[]]

const nginxBase = (place: Place, name: string) => `
  daemon off; worker_processes 1; pid "${place.folder}/${name}.pid"; error_log "${place.folder}/${name}.err" error;
  events { worker_connections 8192; }`

const nginxPaths = ({ folder }: Place) =>
  ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path "${folder}/temp_${kind}";`).join(" ")

/** 1 KB to whatever is asked, LARGE at `…/large`. `grpc`: that other port speaks HTTP/2 in clear, and answers calls. */
export const nginxBackend = (place: Place, grpc?: number): Command => {
  const path = join(place.folder, "backend.conf")
  writeFileSync(join(place.folder, "large"), Buffer.alloc(LARGE, "x"))
  writeFileSync(join(place.folder, "message"), GRPC_MESSAGE)
  // A file is not for POST: what nginx says to that is made the answer.
  const calls = `server { listen ${place.address}:${grpc} http2 backlog=4096; root "${place.folder}"; default_type application/grpc; location / { error_page 405 =200 /message; return 405; } location = /message { error_page 405 =200 /message; add_trailer grpc-status 0; } }`
  // Started by root its workers would be nobody, who may not read a folder of the bench.
  writeFileSync(path, `${nginxBase(place, "backend")} ${process.getuid?.() === 0 ? "user root;" : ""}
  http {
    access_log off; keepalive_requests 1000000000; sendfile on; open_file_cache max=16; ${nginxPaths(place)}
    server { listen ${place.address}:${place.backend} backlog=4096; default_type text/plain; location / { return 200 "${"x".repeat(1024)}"; } location ~ /large$ { alias "${place.folder}/large"; } }
    ${grpc === undefined ? "" : calls}
  }`)
  return ["nginx", "-c", path]
}

/** `bare`: no log, no fields of its own but Host: less than a gateway does, as the floor. `version`: of the first route, told in a header. */
export const nginx = (place: Place, duties: "same" | "bare", version?: number): Command => {
  const name = duties === "same" ? "nginx" : "nginx-bare"
  const path = join(place.folder, `${name}.conf`)
  const { hosts, prefixes } = place.grid
  const told = version === undefined ? "" : `add_header x-version ${version};`
  const locations = (host: number) => indexes(prefixes).map((index) => `location ${prefixOf(index)} { ${host + index === 0 ? told : ""} proxy_pass http://up; }`).join(" ")
  const fields = ["For $remote_addr", "Proto $scheme", "Port $server_port", "Host $http_host"].map((field) => `proxy_set_header X-Forwarded-${field};`)
  const listens = `listen ${place.address}:${place.port}${place.tls === undefined ? "" : " ssl"}${place.http2 === true ? " http2" : ""}`
  const log = { time: "$time_iso8601", type: "access", id: "$request_id", client: "$remote_addr", method: "$request_method", host: "$host", path: "$uri", protocol: "$server_protocol", status: "$status", bytes: "$body_bytes_sent", ms: "$request_time", upstream: "$upstream_addr", agent: "$http_user_agent" }
  writeFileSync(path, `${nginxBase(place, name)}
  http {
    ${nginxPaths(place)} keepalive_requests 1000000000;
    ${place.tls === undefined ? "" : `ssl_certificate "${place.tls.certificate}"; ssl_certificate_key "${place.tls.key}"; ssl_protocols TLSv1.2 TLSv1.3;`}
    server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
    ${duties === "bare" ? "access_log off;" : `log_format json escape=json '${JSON.stringify(log)}'; access_log "${place.folder}/${name}.log" json buffer=64k flush=200ms;`}
    upstream up { server 127.0.0.1:${place.backend}; keepalive 256; keepalive_requests 1000000000; }
    proxy_http_version 1.1; proxy_set_header Host $http_host;
    ${place.upgrades === true ? 'map $http_upgrade $connection_upgrade { default upgrade; "" ""; } proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;' : 'proxy_set_header Connection "";'}
    ${place.largeBuffers === true ? "client_body_buffer_size 128k; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;" : ""}
    ${duties === "bare" ? "" : `${fields.join(" ")} proxy_set_header X-Request-Id $request_id;`}
    server { ${listens} backlog=4096 default_server; return 404; }
    ${indexes(hosts).map((index) => `server { ${listens}; server_name ${hostOf(index)}; ${locations(index)} }`).join("\n    ")}
  }`)
  return ["nginx", "-c", path]
}

export const haproxy = (place: Place): Command => {
  const path = join(place.folder, "haproxy.cfg")
  const map = join(place.folder, "haproxy.map")
  const { hosts, prefixes } = place.grid
  writeFileSync(map, indexes(hosts).flatMap((host) => indexes(prefixes).map((prefix) => `${hostOf(host)}${prefixOf(prefix)} up\n`)).join(""))
  const log = '{"time":"%Tl","type":"access","id":"%ID","client":"%ci","method":"%HM","host":"%[capture.req.hdr(0),json]","path":"%HPO","protocol":"%HV","status":%ST,"bytes":%B,"ms":%Ta,"upstream":"%si:%sp","agent":"%[capture.req.hdr(1),json]"}'
  writeFileSync(path, `
global
  nbthread 1
  maxconn 8192
  ${place.largeBuffers === true ? "tune.bufsize 65536" : ""}
  log stdout format raw local0
defaults
  mode http
  log global
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 75s
  timeout http-request 10s
  timeout tunnel 300s
frontend in
  bind ${place.address}:${place.port} backlog 4096${place.tls === undefined ? (place.http2 === true ? " proto h2" : "") : ` ssl crt ${place.tls.bundle} ssl-min-ver TLSv1.2 alpn ${place.http2 === true ? "h2," : ""}http/1.1`}
  declare capture request len 256
  declare capture request len 256
  http-request capture req.hdr(host) id 0
  http-request capture req.hdr(user-agent) id 1
  log-format ${JSON.stringify(log)}
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto ${place.tls === undefined ? "http" : "https"}
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-var(txn.to) base,map_beg(${map.replaceAll(" ", "\\ ")})
  http-request return status 404 unless { var(txn.to) -m found }
  use_backend %[var(txn.to)]
backend up
  http-reuse always
  server a 127.0.0.1:${place.backend}${place.grpc === true ? " proto h2" : ""}
`)
  return ["haproxy", "-f", path]
}
