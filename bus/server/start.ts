/** A nats-server of our own: a child process on 127.0.0.1 with a JetStream file store. */
import { spawn, type ChildProcess } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, watch } from "node:fs/promises"
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
  /** A free one when left out. */
  readonly port?: number
  readonly stdio?: "ignore" | "inherit" | number
  /** In a session of its own: Ctrl-C in the terminal does not reach it. */
  readonly detached?: boolean
}

/** Resolves when the server accepts connections; rejects when it ends first, with its exit code. */
export const startNatsServer = async ({ binary, storeDir, port, stdio = "ignore", detached = false }: StartOptions): Promise<NatsServer> => {
  await mkdir(storeDir, { recursive: true })
  const ports = await mkdtemp(join(tmpdir(), "headgate-nats-"))
  const watcher = watch(ports, { signal: AbortSignal.timeout(15_000) })
  const child = spawn(binary, ["-a", "127.0.0.1", "-p", String(port ?? -1), "-js", "-sd", storeDir, "--ports_file_dir", ports], { stdio: ["ignore", stdio, stdio], detached })
  const ended = new Promise<never>((_, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => reject(new Error(`nats-server ended at its start: ${code ?? signal ?? "?"}${port === undefined ? "" : ` (is port ${port} in use?)`}`)))
  })
  ended.catch(() => undefined)
  try {
    const found = await Promise.race([ended, portIn(ports, watcher, child.pid ?? 0)])
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
    await rm(ports, { recursive: true, force: true })
  }
}

/** nats-server writes `nats-server_<pid>.ports` when it listens. */
const portIn = async (folder: string, watcher: AsyncIterable<unknown>, pid: number): Promise<number> => {
  const read = async (): Promise<number | undefined> => {
    const text = await readFile(join(folder, `nats-server_${pid}.ports`), "utf8").catch(() => "")
    const match = /nats:\/\/127\.0\.0\.1:(\d+)/.exec(text)
    return match === null ? undefined : Number(match[1])
  }
  const already = await read()
  if (already !== undefined) return already
  for await (const _ of watcher) {
    const port = await read()
    if (port !== undefined) return port
  }
  throw new Error("nats-server did not listen in 15 s")
}

const accepting = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve()
    })
    socket.once("error", reject)
  })
