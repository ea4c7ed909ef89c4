/** One process kept running: restarted at once the first time it dies, then with growing, jittered pauses. */
import type { ChildProcess } from "node:child_process"

const SHORTEST = 100
const LONGEST = 10_000
/** A process that lived this long counts as healthy again, ms. */
const HEALTHY = 10_000

export interface Child {
  /** The process now running, undefined while it is not. */
  current(): ChildProcess | undefined
  /** SIGTERM; after `grace` ms SIGKILL. Resolves when it has ended; it is not started again. */
  stop(grace: number): Promise<void>
}

export interface ChildOptions {
  readonly name: string
  start(): Promise<ChildProcess>
  /** What the process said last, for the report of its end. */
  lastWords?(): string
  /** A line for people about what happened. */
  report(line: string): void
}

export const keepRunning = ({ name, start, lastWords, report }: ChildOptions): Child => {
  let child: ChildProcess | undefined
  let stopping = false
  let deaths = 0
  let timer: NodeJS.Timeout | undefined

  const said = (): string => {
    try {
      return lastWords?.() ?? ""
    } catch {
      return ""
    }
  }
  const died = (how: string, lived: number): void => {
    child = undefined
    if (stopping) return
    deaths = lived > HEALTHY ? 1 : deaths + 1
    const pause = deaths === 1 ? 0 : Math.min(SHORTEST * 2 ** (deaths - 2), LONGEST) * (0.5 + Math.random())
    const words = said()
    report(`${name} ended (${how}${words === "" ? "" : `: ${words}`}); ${pause === 0 ? "starting it again" : `starting it again in ${Math.round(pause)} ms`}`)
    timer = setTimeout(() => void launch(), pause)
  }
  const launch = async (): Promise<void> => {
    const began = performance.now()
    try {
      const started = await start()
      // One that could not be started at all says so in place of an exit.
      started.once("error", (error) => { if (started.pid === undefined) died(error.message, 0) })
      if (stopping) return void started.kill("SIGKILL")
      child = started
      if (started.exitCode !== null || started.signalCode !== null) return died(String(started.signalCode ?? started.exitCode), 0)
      started.once("exit", (code, signal) => died(signal ?? `exit status ${code ?? "?"}`, performance.now() - began))
    } catch (error) {
      died(error instanceof Error ? error.message : String(error), 0)
    }
  }
  void launch()

  return {
    current: () => child,
    stop: async (grace) => {
      stopping = true
      clearTimeout(timer)
      const ending = child
      if (ending === undefined) return
      const exit = new Promise((resolve) => ending.once("exit", resolve))
      ending.kill("SIGTERM")
      ending.kill("SIGCONT")
      const kill = setTimeout(() => ending.kill("SIGKILL"), grace)
      await exit
      clearTimeout(kill)
    },
  }
}
