/**
 * Hot restart: a new process of the same command takes this one's place. It gets the listening sockets, so no connection
 * is refused or reset: what waits in their queues is accepted by one process or the other. This one serves until
 * the new one does; whatever goes wrong before leaves it as it was, with a note.
 */
import type { Log } from "../log.ts"
import type { Notes } from "../notes.ts"
import type { WorkersSocket } from "./listening-socket.ts"
import { Successor } from "./successor.ts"

/** A gateway, as far as another process can take its place. */
export interface Replaceable {
  /** Why it cannot be replaced now, as a sentence; undefined: it can. */
  readonly obstacle: () => string | undefined
  readonly workers: number
  /** Its sockets stay as they are, until `release`. Resolves when what it serves is on disk, too. */
  readonly hold: () => Promise<readonly WorkersSocket[]>
  readonly release: () => void
  /** Another one speaks for the pod: no acks, no snapshot. */
  readonly fallSilent: () => Promise<void>
  readonly speakAgain: () => void
  readonly notes: Notes
  readonly log: Log
}

export class Restarts {
  readonly #gateway: Replaceable
  #successor: Successor | undefined
  #isUnderWay = false
  #isOver = false

  constructor(gateway: Replaceable) {
    this.#gateway = gateway
  }

  /** A successor serves. */
  get hasSucceeded(): boolean {
    return this.#isOver && this.#successor !== undefined
  }

  /** Resolves with the pid of the successor, which serves. Rejects with what was in the way, which is logged too. */
  async restart(): Promise<number> {
    const { notes, log } = this.#gateway
    try {
      const { pid } = await this.#replace()
      log("info", "another process serves now", { pid })
      return pid
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      log("error", "no other process has taken over", { error: why })
      if (!(error instanceof Refusal)) {
        notes.set("restart", {
          severity: "warning", reason: "RestartFailed", message: `A process was to take the place of this one, but ${why}. This one serves on.`,
          fix: "See its output, beside this process's, put right what it says, and restart again.",
        })
      }
      throw error
    }
  }

  /** No successor is wanted any more: one that does not serve yet is ended. */
  stop(): void {
    if (this.hasSucceeded) return
    this.#isOver = true
    this.#successor?.kill()
    this.#successor = undefined
  }

  async #replace(): Promise<Successor> {
    const gateway = this.#gateway
    const obstacle = this.#isUnderWay ? "A restart is under way." : this.#isOver ? "This process ends." : gateway.obstacle()
    if (obstacle !== undefined) throw new Refusal(obstacle)
    this.#isUnderWay = true
    let isSilent = false
    try {
      const sockets = await gateway.hold()
      if (this.#isOver) throw new Refusal("This process ends.")
      const successor = (this.#successor = new Successor(gateway.workers, sockets))
      gateway.log("info", "another process is started to take over", { pid: successor.pid })
      await successor.ready()
      isSilent = true
      await gateway.fallSilent()
      await successor.takesOver()
      successor.release()
      this.#isOver = true
      gateway.notes.clear("restart")
      return successor
    } catch (error) {
      this.#successor?.kill()
      this.#successor = undefined
      if (!this.#isOver) {
        if (isSilent) gateway.speakAgain()
        gateway.release()
      }
      throw error
    } finally {
      this.#isUnderWay = false
    }
  }
}

/** It was not even tried. */
class Refusal extends Error {}
