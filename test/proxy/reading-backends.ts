/** Backends with readers of their own: what each takes for a request it writes down, and says in its answer. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { freePorts } from "../fixtures/ports.ts"
import { goProgram, whyNoGo } from "../fixtures/go-program.ts"
import { until } from "../system/until.ts"

export interface ReadingBackend {
  readonly port: number
  /** `METHOD target host octets` of each request whose content came to its end, in that order. */
  readonly heard: string[]
  stop(): Promise<void>
}

export interface Reader {
  /** Why it is not to be had here; undefined: it is. */
  readonly missing: string | undefined
  readonly start: () => Promise<ReadingBackend>
}

const startNode = async (): Promise<ReadingBackend> => {
  const heard: string[] = []
  const server = createServer((request, response) => {
    let octets = 0
    request.on("data", (part: Buffer) => (octets += part.length))
    request.on("end", () => {
      const line = `${request.method} ${request.url} ${request.headers.host} ${octets}`
      heard.push(line)
      response.end(line)
    })
  })
  server.keepAliveTimeout = 120_000
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  return {
    port: address === null || typeof address === "string" ? 0 : address.port,
    heard,
    stop: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, "close")
    },
  }
}

const ended = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit")
}

/** nginx has read a request, content and all, when it hands it on: framed anew, to who writes it down. */
const startNginx = async (): Promise<ReadingBackend> => {
  const recorder = await startNode()
  const [port = 0] = await freePorts(1)
  const folder = mkdtempSync(join(tmpdir(), "headgate-nginx-"))
  mkdirSync(join(folder, "logs"))
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ")
  writeFileSync(join(folder, "nginx.conf"), `
    daemon off; master_process off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
    events { worker_connections 512; }
    http {
      access_log off; keepalive_requests 1000000; keepalive_timeout 120s; ${temporary}
      server {
        listen 127.0.0.1:${port}; merge_slashes off;
        location / { proxy_pass http://127.0.0.1:${recorder.port}; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection ""; }
      }
    }`)
  const child = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], { stdio: "ignore" })
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM")
    await ended(child)
    await recorder.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await until("nginx listens", () => {
      if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`)
      return isListening(port)
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { port, heard: recorder.heard, stop }
}

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.on("error", () => resolve(false))
  })

const startGo = async (): Promise<ReadingBackend> => {
  const heard: string[] = []
  const child = spawn(await goProgram("go-http"), ["serve"], { stdio: ["pipe", "pipe", "inherit"] })
  const lines = createInterface({ input: child.stdout })
  const [port] = await once(lines, "line")
  lines.on("line", (line) => heard.push(line))
  return {
    port: Number(port),
    heard,
    stop: async () => {
      child.stdin.end()
      await ended(child)
    },
  }
}

const whyNoNginx = (): string | undefined => {
  try {
    execFileSync("nginx", ["-v"], { stdio: "ignore" })
    return undefined
  } catch {
    return "there is no nginx"
  }
}

export const readers: Readonly<Record<string, Reader>> = {
  "node:http": { missing: undefined, start: startNode },
  nginx: { missing: whyNoNginx(), start: startNginx },
  "Go's net/http": { missing: whyNoGo(), start: startGo },
}
