/**
 * `headgate functions [names|./file.ts …]`: until SIGINT or SIGTERM. HEADGATE_NATS_URL says where the bus is,
 * HEADGATE_HOLDER who holds the leases. Logs are JSON lines on stdout.
 */
import { randomUUID } from "node:crypto"
import { hostname } from "node:os"
import { Effect } from "effect"
import { connectBus } from "../bus/jetstream.ts"
import { tracingOf } from "../bus/trace/start.ts"
import { load } from "./load.ts"
import { runFunctions } from "./run.ts"
import type { Log } from "./session.ts"

const HELP = `headgate functions [NAME | ./FILE.ts …]

Runs built-in functions by name and anyone's by file, or everything built in, against the bus at HEADGATE_NATS_URL.

Environment: HEADGATE_NATS_URL (default: of the "headgate up" that runs on HEADGATE_DATA, else nats://127.0.0.1:4222),
HEADGATE_NATS_CREDENTIALS (file with user and password), HEADGATE_HOLDER (whose leases: the same holder takes
them over at once, another waits), HEADGATE_TRACES=on and OTEL_EXPORTER_OTLP_ENDPOINT (traces of edits: headgate trace).
Exit status: 0 ended by a signal, 1 failed.
`

const log: Log = (level, message, more) => {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, part: "functions", message, ...more })}\n`)
}

/** Resolves after a signal, once everything staged is committed and the leases are given back. Rejects for wrong arguments. */
export const main = async (argv: string[]): Promise<void> => {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(HELP)
    return
  }
  const functions = await load(argv)
  const url = process.env["HEADGATE_NATS_URL"] ?? "nats://127.0.0.1:4222"
  const holder = process.env["HEADGATE_HOLDER"] ?? `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once("SIGINT", onSignal)
  process.once("SIGTERM", onSignal)
  const tracing = await tracingOf(process.env, { part: "functions", service: "headgate-functions", instance: holder })
  const traces = tracing && new (await import("./pass-trace.ts")).PassTraces(tracing)
  const connect = async (signal: AbortSignal) => {
    const bus = await connectBus({ url, signal, name: `functions ${functions.map(({ name }) => name).join(" ")}` })
    return tracing?.attach(bus) ?? bus
  }
  const run = runFunctions({ functions, holder, connect, log, traces })
  try {
    await Effect.runPromise(run, { signal: stop.signal })
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    process.off("SIGINT", onSignal)
    process.off("SIGTERM", onSignal)
    await tracing?.stop()
  }
  // What still waits for a collector must not keep it.
  if (tracing !== undefined) process.exit()
}
