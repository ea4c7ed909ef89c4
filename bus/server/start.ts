/** A nats-server of our own: a child process on 127.0.0.1 with a JetStream file store. */
import { spawn, type ChildProcess } from "node:child_process"
import { watch } from "node:fs"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface NatsServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly process: ChildProcess
  /** SIGTERM, then waits for the end. */
  stop(): Promise<void>
}

export interface StartOptions {
  readonly binary: string
  readonly storeDir: string
  /** A file of accounts and users (roles.ts), or more. Without one everybody on this machine may do everything. */
  readonly config?: string
  /** A free one when left out. */
  readonly port?: number
  readonly stdio?: "ignore" | "inherit" | number
  /** In a session of its own: Ctrl-C in the terminal does not reach it. */
  readonly detached?: boolean
}

/** ms until a server that does not listen counts as one that never will. */
const PATIENCE = 15_000

/** Resolves when the server accepts connections; rejects when it ends first, with its exit code, or does not listen in 15 s. */
export const startNatsServer = async ({ binary, storeDir, config, port, stdio = "ignore", detached = false }: StartOptions): Promise<NatsServer> => {
  await mkdir(storeDir, { recursive: true })
  const ports = await mkdtemp(join(tmpdir(), "headgate-nats-"))
  const child = spawn(binary, ["-a", "127.0.0.1", "-p", String(port ?? -1), "-js", "-sd", storeDir, "--ports_file_dir", ports, ...(config === undefined ? [] : ["-c", config])], { stdio: ["ignore", stdio, stdio], detached })
  const ended = new Promise<never>((_, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => reject(new Error(`nats-server ended at its start: ${code ?? signal ?? "?"}${port === undefined ? "" : ` (is port ${port} in use?)`}`)))
  })
  ended.catch(() => undefined)
  const looking = new AbortController()
  try {
    const found = await Promise.race([ended, portIn(ports, child.pid ?? 0, AbortSignal.any([looking.signal, AbortSignal.timeout(PATIENCE)]))])
    await Promise.race([ended, accepting(found)])
    return {
      url: `nats://127.0.0.1:${found}`,
      port: found,
      pid: child.pid ?? 0,
      process: child,
      stop: async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exit = new Promise((resolve) => child.once("exit", resolve))
        child.kill("SIGTERM")
        await exit
      },
    }
  } catch (error) {
    child.kill("SIGKILL")
    throw error
  } finally {
    looking.abort()
    await rm(ports, { recursive: true, force: true })
  }
}

/** nats-server writes `nats-server_<pid>.ports` when it listens. The watch begins before the first look, so that nothing falls between. */
const portIn = (folder: string, pid: number, signal: AbortSignal): Promise<number> =>
  new Promise((resolve, reject) => {
    const look = (): void => {
      readFile(join(folder, `nats-server_${pid}.ports`), "utf8").then(
        (text) => {
          const port = /(?:nats|tls):\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1]
          if (port !== undefined) resolve(Number(port))
        },
        () => undefined,
      )
    }
    signal.addEventListener("abort", () => reject(new Error(`nats-server did not listen in ${PATIENCE / 1000} s`)))
    watch(folder, { signal }, look).on("error", reject)
    look()
  })

const accepting = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve()
    })
    socket.once("error", reject)
  })
