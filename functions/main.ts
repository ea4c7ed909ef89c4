/**
 * `headgate functions [names|./file.ts …]`: until SIGINT or SIGTERM. HEADGATE_NATS_URL says where the bus is,
 * HEADGATE_HOLDER who holds the leases. Logs are JSON lines on stdout.
 */
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import { Effect } from "effect"
import { connectBus } from "../bus/jetstream.ts"
import { load } from "./load.ts"
import { runFunctions } from "./run.ts"
import type { Log } from "./session.ts"

const log: Log = (level, message, more) => {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, part: "functions", message, ...more })}\n`)
}

/** Resolves after a signal, once everything staged is committed and the leases are given back. Rejects for wrong arguments. */
export const main = async (argv: string[]): Promise<void> => {
  const functions = await load(argv)
  const url = process.env["HEADGATE_NATS_URL"] ?? "nats://127.0.0.1:4222"
  const holder = process.env["HEADGATE_HOLDER"] ?? `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once("SIGINT", onSignal)
  process.once("SIGTERM", onSignal)
  const run = runFunctions({ functions, holder, connect: () => connectBus({ url, name: `functions ${functions.map(({ name }) => name).join(" ")}` }), log })
  try {
    await Effect.runPromise(run, { signal: stop.signal })
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    process.off("SIGINT", onSignal)
    process.off("SIGTERM", onSignal)
  }
}
