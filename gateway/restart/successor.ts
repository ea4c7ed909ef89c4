/** The process that is to take this one's place, as this one knows it. */
import { type ChildProcess, spawn } from "node:child_process"
import type { WorkersSocket } from "./listening-socket.ts"
import { ENVIRONMENT, FIRST_FD, GO, type HandedOver, isStage, type Stage } from "./message.ts"

/** To be ready: it reads the snapshot and the log. */
const READY_MS = 30_000
/** To accept, once it may. */
const SERVING_MS = 10_000

export class Successor {
  readonly #child: ChildProcess
  readonly #reached = new Set<Stage>()
  #failure: Error | undefined
  #onChange: () => void = () => {}

  /** `command`: the program of this process as it is on disk now, with its arguments. It gets `sockets` of this process. */
  constructor(workers: number, sockets: readonly WorkersSocket[], command: readonly string[] = [...process.execArgv, ...process.argv.slice(1)]) {
    const handed: HandedOver = { workers, sockets: sockets.map((socket, index) => ({ ...socket, fd: FIRST_FD + index })) }
    this.#child = spawn(process.execPath, command, {
      stdio: ["inherit", "inherit", "inherit", "ipc", ...sockets.map(({ fd }) => fd)],
      // A command that npm started ends with its parent: this one is not to.
      env: { ...process.env, npm_lifecycle_event: undefined, [ENVIRONMENT]: JSON.stringify(handed) },
    })
    this.#child.on("message", (message: unknown) => {
      if (!isStage(message)) return
      this.#reached.add(message)
      this.#onChange()
    })
    this.#child.on("error", (error) => this.#failed(`it cannot be started: ${error.message}`))
    this.#child.on("exit", (code, signal) => this.#failed(signal === null ? `it ended with ${code}` : `it was ended by ${signal}`))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Resolves when it could take over. Rejects when it ended before, or did not come so far in time. */
  ready(within = READY_MS): Promise<void> {
    return this.#reach("ready", within)
  }

  /** It may: resolves when it serves. Rejects likewise. */
  async takesOver(): Promise<void> {
    this.#child.send(GO)
    await this.#reach("serving", SERVING_MS)
  }

  /** This process ends without waiting for it. */
  release(): void {
    this.#child.unref()
    this.#child.channel?.unref()
  }

  kill(): void {
    this.#child.kill("SIGKILL")
  }

  #failed(why: string): void {
    this.#failure ??= new Error(why)
    this.#onChange()
  }

  async #reach(stage: Stage, within: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => reject(new Error(`it was not ${stage} within ${within / 1000} s`)), within)
    this.#onChange = () => {
      if (this.#reached.has(stage)) resolve()
      else if (this.#failure !== undefined) reject(this.#failure)
    }
    this.#onChange()
    await promise.finally(() => clearTimeout(timer))
  }
}
