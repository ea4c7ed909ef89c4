/** For tests: workers that serve a route to a backend, and a way into a worker that needs no door in the product. */
import { fstatSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs"
import inspector from "node:inspector"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseFlags } from "../flags.ts"
import { Notes } from "../notes.ts"
import { Threads } from "./threads.ts"

export interface Started {
  readonly threads: Threads
  readonly notes: Notes
  /** Of the access log. */
  readonly lines: () => readonly string[]
  /** The next time that sockets, notes or tables change. */
  readonly changed: () => Promise<void>
}

/** What is in a file, whoever has removed it. */
const readerOf = (fd: number) => (): string => {
  const octets = Buffer.alloc(fstatSync(fd).size)
  return octets.toString("latin1", 0, readSync(fd, octets, 0, octets.length, 0))
}

/** Workers on 127.0.0.1, with the flags of `headgate gateway`. */
export const startThreads = (count: number, flags: readonly string[] = [], options: { readonly askEvery?: number } = {}): Started => {
  const parsed = parseFlags(["--bind", "127.0.0.1", ...flags], {})
  if (parsed === "help") throw new TypeError("help")
  const folder = mkdtempSync(join(tmpdir(), "headgate-workers-"))
  const output = openSync(join(folder, "access.log"), "a+")
  const text = readerOf(output)
  rmSync(folder, { recursive: true })
  let changes: (() => void)[] = []
  const onChange = (): void => {
    for (const resolve of changes.splice(0)) resolve()
  }
  const notes = new Notes(onChange)
  const threads = new Threads({ ...parsed, ...options, count, notes, log: () => {}, output, sampler: null, onSpan: () => {}, onChange, onSwap: onChange })
  return { threads, notes, lines: () => text().split("\n").slice(0, -1), changed: () => new Promise((resolve) => changes.push(resolve)) }
}

/** Until the inspector is gone: a thread that ends under it takes the process with it (SIGSEGV, Node 24.21). */
const GONE_MS = 250
const ATTACHED_MS = 100

/** Runs JavaScript in each worker of this process that `pick` takes, by its order of start. */
export const runInWorkers = (statement: string, pick: (index: number) => boolean): void => {
  const expression = `setTimeout(() => { ${statement} }, ${GONE_MS})`
  const session = new inspector.Session()
  session.connect()
  let index = 0
  session.on("NodeWorker.attachedToWorker", ({ params: { sessionId } }) => {
    if (!pick(index++)) return
    session.post("NodeWorker.sendMessageToWorker", { sessionId, message: JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } }) })
  })
  session.post("NodeWorker.enable", { waitForDebuggerOnStart: false }, () => setTimeout(() => session.disconnect(), ATTACHED_MS))
}
