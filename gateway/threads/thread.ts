/**
 * A worker: serves in a thread of its own what the main thread hands it (threads.ts). An error that nobody caught ends
 * it, but not what it is in the middle of: it accepts what waits, takes no more, and has the time of a drain.
 */
import { parentPort, workerData } from "node:worker_threads"
import { Notes } from "../notes.ts"
import { Serving } from "../serving.ts"
import { bindKeys } from "../table/compile.ts"
import { inTurn, toDescriptor } from "../telemetry/output.ts"
import { RequestTraces } from "../telemetry/request-trace.ts"
import type { Beginning, Counted, FromWorker, ToWorker } from "./message.ts"

const port = parentPort
if (port === null) throw new Error("this is a worker's file")
const beginning: Beginning = workerData
const tell = (message: FromWorker): void => port.postMessage(message)

let number = beginning.number
let isReporting = false
/** At the end of the tick: several sockets are bound in one. */
const report = (): void => {
  if (isReporting) return
  isReporting = true
  queueMicrotask(() => {
    isReporting = false
    const bound = new Map([...serving.listeners.values()].flatMap(bindKeys).flatMap((key) => {
      const at = serving.boundAt(key)
      return at === undefined ? [] : [[key, at] as const]
    }))
    const { generation, clusters, isSettled } = serving
    tell({ is: "report", report: { number, generation, clusters, isSettled, bound, notes: new Map([...notes.all, ...serving.notes]) } })
  })
}
const notes = new Notes(report)

// Handing lines to the main thread would cost more than writing them.
const output = inTurn(beginning.turn, beginning.writer, toDescriptor(beginning.output))
const { sampler } = beginning
const traces = sampler === null ? null : new RequestTraces(sampler, (span) => tell({ is: "span", span }))
const serving = new Serving({ ...beginning, notes, output, traces, onChange: report, onSwap: () => {} })
const counted = (): Counted => ({ metrics: serving.metrics(), connections: serving.connections })

const stop = async (): Promise<void> => {
  await serving.stop()
  tell({ is: "stopped", counted: counted() })
  process.exit(0)
}

let hasFailed = false
process.on("uncaughtException", (error) => {
  // One more: there is little left that can be relied on.
  if (hasFailed) process.exit(1)
  hasFailed = true
  tell({ is: "failed", error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  void serving.drain(beginning.drain).then(stop)
})

port.on("message", (message: ToWorker) => {
  switch (message.is) {
    case "batch":
      serving.apply(message.batch)
      number = message.number
      report()
      break
    case "ping":
      tell({ is: "pong", counted: counted() })
      break
    case "ticket-key":
      serving.useTicketKey(message.octets)
      break
    case "leave":
      serving.leave()
      break
    case "drain":
      void (message.isHandedOver ? serving.handOver(message.milliseconds) : serving.drain(message.milliseconds)).then((cut) => tell({ is: "drained", cut }))
      break
    case "hold":
      serving.hold().then((sockets) => tell({ is: "held", sockets, error: undefined }), (error: unknown) => tell({ is: "held", sockets: [], error: error instanceof Error ? error.message : String(error) }))
      break
    case "release":
      serving.release()
      // Where there is nothing to bind nothing else would say that all is.
      report()
      break
    case "stop":
      void stop()
      break
  }
})
if (beginning.isLeaving) serving.leave()
for (const batch of beginning.batches) serving.apply(batch)
report()
