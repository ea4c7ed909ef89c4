/** The processes under one supervisor, by what they are. Linux reads /proc; elsewhere `ps` tells. */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync, readdirSync } from "node:fs"

interface Process {
  readonly pid: number
  readonly parent: number
  command(): string
}

const commandIn = (path: string): string => {
  try {
    return readFileSync(path, "utf8").replaceAll("\0", " ")
  } catch {
    return "" // ended meanwhile
  }
}

const fromProc = (): readonly Process[] =>
  readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8")
      // The second field is in parentheses and may hold anything; after it: state, parent.
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      if (state === "Z") return []
      return [{ pid: Number(entry), parent: Number(parent), command: () => commandIn(`/proc/${entry}/cmdline`) }]
    } catch {
      return [] // ended meanwhile
    }
  })

const fromPs = (): readonly Process[] =>
  execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" })
    .split("\n")
    .flatMap((line) => {
      const found = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line)
      return found === null ? [] : [{ pid: Number(found[1]), parent: Number(found[2]), command: () => found[3] ?? "" }]
    })

const all = () => (existsSync("/proc/self/stat") ? fromProc() : fromPs())

export type Part = "nats" | "adapter" | "functions" | "gateway" | "checkpoints"

const parts: readonly (readonly [Part, RegExp])[] = [
  ["nats", /nats-server/],
  ["adapter", /\sadapter\s/],
  ["functions", /\sfunctions(\s|$)/],
  ["gateway", /\sgateway(\s|$)/],
  ["checkpoints", /\scheckpoints(\s|$)/],
]

/** Everything below `root`, children of children too. */
export const descendants = (root: number): readonly Process[] => {
  const processes = all()
  const found: Process[] = []
  const queue = [root]
  for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
    for (const process of processes) {
      if (process.parent !== pid) continue
      found.push(process)
      queue.push(process.pid)
    }
  }
  return found
}

/** Whose command line has `text` in it. */
export const running = (text: string): readonly Process[] => all().filter((process) => process.command().includes(text))

/** Pid of one part under `supervisor`, undefined while it is not running. */
export const pidOf = (supervisor: number, part: Part): number | undefined => {
  const pattern = parts.find(([name]) => name === part)?.[1]
  return descendants(supervisor).find((process) => pattern?.test(process.command()))?.pid
}

export const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** CPU time so far, milliseconds, of it and of those of its children that have ended (`reaped`), and resident memory, bytes. Linux only (10 ms steps of the kernel's clock). */
export const usage = (pid: number): { readonly cpu: number; readonly reaped: number; readonly rss: number } => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const resident = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1])
  return { cpu: (Number(fields[11]) + Number(fields[12])) * 10, reaped: (Number(fields[13]) + Number(fields[14])) * 10, rss: resident * 4096 }
}
