/** Keeps nats-server's accounts in step with the data planes there are, and with the newest passwords and certificate. */
import { renderServer, type Passwords, type Settings, type TlsFiles } from "./configuration.ts"
import type { ServerProcess } from "./process.ts"

export interface AccountsOptions {
  readonly settings: Settings
  readonly passwords: Omit<Passwords, "planes">
  readonly server: Pick<ServerProcess, "reload">
  /** What the server was started with. */
  readonly planes: ReadonlyMap<string, string>
  readonly tls?: TlsFiles | undefined
  onReloaded(planes: number, ms: number): void
  onTrouble(error: unknown): void
}

/** Between two, ms: each disturbs everybody for a moment, and whoever may make Secrets can ask for many. */
const REST = 250
const AGAIN_FIRST = 250
const AGAIN_MAX = 10_000

export class Accounts {
  readonly #options: AccountsOptions
  #wanted: ReadonlyMap<string, string>
  #passwords: AccountsOptions["passwords"]
  #tls: TlsFiles | undefined
  #running: string
  #hasNew = false
  #last = -REST
  #known: ReadonlySet<string>
  #working: Promise<void> | undefined

  constructor(options: AccountsOptions) {
    this.#options = options
    this.#wanted = options.planes
    this.#passwords = options.passwords
    this.#tls = options.tls
    this.#running = renderServer(options.settings, { ...options.passwords, planes: options.planes }, options.tls)
    this.#known = new Set(options.planes.keys())
  }

  /** Passwords by data plane, all of them. One change at a time; what comes meanwhile is taken up together. */
  set(planes: ReadonlyMap<string, string>): void {
    this.#wanted = planes
    this.#begin()
  }

  /** Who is connected stays so, but for who came with another password. */
  renew(passwords: AccountsOptions["passwords"], tls: TlsFiles | undefined): void {
    this.#passwords = passwords
    this.#tls = tls
    this.#begin()
  }

  #begin(): void {
    this.#working ??= this.#work().finally(() => { this.#working = undefined })
  }

  /** Resolves when nothing is left to be taken up. */
  async settled(): Promise<void> {
    while (this.#working !== undefined) await this.#working
  }

  async #work(): Promise<void> {
    const { settings, server, onReloaded, onTrouble } = this.#options
    for (let failures = 0; ; ) {
      const planes = this.#wanted
      const configuration = renderServer(settings, { ...this.#passwords, planes }, this.#tls)
      this.#hasNew ||= [...planes.keys()].some((plane) => !this.#known.has(plane))
      if (configuration === this.#running && !this.#hasNew) return
      const rest = this.#last + REST - performance.now()
      if (rest > 0) {
        await new Promise((resolve) => setTimeout(resolve, rest))
        continue
      }
      const began = performance.now()
      try {
        await server.reload(configuration)
        this.#running = configuration
        // nats-server connects what a new account imports at the next reload only (2.15.1).
        if (this.#hasNew) await server.reload(configuration)
        this.#hasNew = false
        this.#known = new Set(planes.keys())
        this.#last = performance.now()
        onReloaded(planes.size, this.#last - began)
        failures = 0
      } catch (error) {
        onTrouble(error)
        await new Promise((resolve) => setTimeout(resolve, Math.min(AGAIN_MAX, AGAIN_FIRST * 2 ** failures++) * (0.5 + Math.random())))
      }
    }
  }
}
