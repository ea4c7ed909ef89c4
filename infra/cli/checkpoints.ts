/**
 * `headgate checkpoints`: makes a checkpoint of the log whenever enough has come behind the newest one (bus/history),
 * until SIGINT or SIGTERM. Where it does not run, questions about the past are answered all the same, later and later.
 */
import { connectBus } from "../../bus/jetstream.ts"
import { recordCheckpoints } from "../../bus/history/recorder.ts"
import { systemClock } from "../../bus/unit/clock.ts"

const HELP = `headgate checkpoints

Keeps questions about the past quick (headgate at, history, diff): stores the folded state of the log in the stream
CHECKPOINTS whenever enough has come behind the newest one. Ends at once in a store without a history.

Environment: HEADGATE_NATS_URL (default nats://127.0.0.1:4222).
Exit status: 0 ended by a signal or nothing to do, 1 failed, 2 the command line is wrong.
`

const log = (level: "info" | "warning", message: string, more: Readonly<Record<string, unknown>> = {}): void =>
  void process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, part: "checkpoints", message, ...more })}\n`)

/** Resolves after a signal. */
export const main = async (argv: readonly string[]): Promise<void> => {
  const [word] = argv
  if (word !== undefined) {
    const isHelp = word === "--help" || word === "-h"
    ;(isHelp ? process.stdout : process.stderr).write(isHelp ? HELP : `headgate checkpoints takes no "${word}"; --help tells more\n`)
    process.exitCode = isHelp ? 0 : 2
    return
  }
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once("SIGINT", onSignal)
  process.once("SIGTERM", onSignal)
  const bus = await connectBus({ url: process.env["HEADGATE_NATS_URL"] ?? "nats://127.0.0.1:4222", name: "history", signal: stop.signal }).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error
  })
  if (bus === undefined) return
  await recordCheckpoints({
    bus, clock: systemClock, signal: stop.signal,
    onCheckpoint: ({ head, from, records, bytes, raw, took }) => log("info", "checkpoint", { ...head.positions, from, records, bytes, raw, ms: Math.round(took) }),
    onTrouble: (message) => log("warning", `no checkpoint could be made: ${message}`),
  })
  await bus.close()
}
