/** The parts that `headgate up` runs: this very program with another subcommand. */
import { createHash } from "node:crypto"
import { spawn } from "node:child_process"
import { closeSync, fstatSync, openSync, readSync, renameSync, statSync } from "node:fs"
import { join } from "node:path"
import type { RunningBus } from "./bus-process.ts"
import type { ChildOptions } from "./child.ts"

/**
 * V8's young generation, which it would let grow with the machine's memory: a third less memory in every part, at no
 * CPU that could be measured. MiB.
 */
export const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=4"]
/** Functions hold everything and make it anew at a start: with so small a young generation a fifth of that was collecting garbage. */
const FLAGS_OF: Readonly<Record<string, readonly string[]>> = { functions: ["--max-semi-space-size=16"] }
/**
 * glibc would keep memory apart for each thread, and what one has freed no other uses: of a gateway's memory after many
 * handshakes that was a tenth. One thread of a part does nearly all; CPU was the same.
 */
export const NODE_ENVIRONMENT: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: "1" }
/** A log larger than this is put aside as `<name>.log.1` when its part is first started, bytes. */
const LARGE_LOG = 16 * 1024 * 1024
const LAST_WORDS = 4096

/**
 * Makes starters, `args` asked for at each start, on the bus as who has the part's role, logging to `<data>/logs/<name>.log`. Each part has a session of its
 * own: Ctrl-C in a terminal reaches the supervisor alone, which ends them in order.
 */
export const partStarter = (data: string, nats: Pick<RunningBus, "environment">) => (name: string, args: () => Promise<readonly string[]>, role = name): Pick<ChildOptions, "start" | "lastWords"> => {
  const path = join(data, "logs", `${name}.log`)
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LARGE_LOG) renameSync(path, `${path}.1`)
  const log = openSync(path, "a")
  const holder = `up-${createHash("sha256").update(data).digest("hex").slice(0, 12)}`
  const env = { ...NODE_ENVIRONMENT, ...process.env, ...nats.environment(role), HEADGATE_HOLDER: holder, HEADGATE_SUPERVISED: "1", HEADGATE_DATA: data }
  return {
    start: async () => spawn(process.execPath, [...(FLAGS_OF[name] ?? NODE_FLAGS), program, ...(await args())], { stdio: ["pipe", log, log], env, detached: true }),
    lastWords: () => endOf(path).trimEnd().split("\n").at(-1)?.slice(0, 300) ?? "",
  }
}

/** main.ts, or main.js as compiled: beside this file under the same extension. */
const program = join(import.meta.dirname, `main${import.meta.filename.slice(import.meta.filename.lastIndexOf("."))}`)

const endOf = (path: string): string => {
  const fd = openSync(path, "r")
  try {
    const { size } = fstatSync(fd)
    const bytes = Buffer.alloc(Math.min(size, LAST_WORDS))
    return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, size - bytes.length))
  } finally {
    closeSync(fd)
  }
}
