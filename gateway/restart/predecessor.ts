/** The process whose place this one takes, as this one knows it. */
import type { WorkersSocket } from "./listening-socket.ts"
import { ENVIRONMENT, GO, type HandedOver, type Stage } from "./message.ts"

export class Predecessor implements HandedOver {
  readonly workers: number
  readonly sockets: readonly WorkersSocket[]
  readonly #go = Promise.withResolvers<void>()

  constructor({ workers, sockets }: HandedOver) {
    this.workers = workers
    this.sockets = sockets
    process.on("message", (message: unknown) => {
      if (message === GO) this.#go.resolve()
    })
    // It is gone: there is no one else left to serve.
    process.on("disconnect", () => this.#go.resolve())
    if (!this.isThere) this.#go.resolve()
  }

  /** It has not ended yet. */
  get isThere(): boolean {
    return process.connected
  }

  /** Resolves when this process is to serve in its place. */
  async ready(): Promise<void> {
    this.#tell("ready")
    await this.#go.promise
  }

  /** It may leave. */
  serving(): void {
    this.#tell("serving")
  }

  #tell(stage: Stage): void {
    // It may end meanwhile: that is what `disconnect` says.
    if (this.isThere) process.send?.(stage, () => {})
  }
}

/** Undefined: this process was not started by a gateway. Throws Error when what it was told cannot be read. */
export const predecessorOf = (env: Readonly<Record<string, string | undefined>>): Predecessor | undefined => {
  const text = env[ENVIRONMENT]
  if (text === undefined || process.send === undefined) return undefined
  const handed: unknown = JSON.parse(text)
  if (!isHandedOver(handed)) throw new Error(`${ENVIRONMENT} does not say what is handed over`)
  return new Predecessor(handed)
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

const isHandedOver = (value: unknown): value is HandedOver =>
  isRecord(value) && typeof value["workers"] === "number" && Array.isArray(value["sockets"]) &&
  value["sockets"].every((socket: unknown) => isRecord(socket) && typeof socket["key"] === "string" && typeof socket["address"] === "string" && ["worker", "port", "fd"].every((name) => typeof socket[name] === "number"))
