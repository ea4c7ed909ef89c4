/**
 * What was at a moment, worked out from a recording of every message with none of the code that answers such
 * questions. For tests.
 */
import type { Bus, Message } from "../bus.ts"

interface Recorded {
  readonly seq: number
  readonly time: number
  readonly subject: string
  readonly isDeleted: boolean
  readonly generation: string | undefined
  readonly body: string
}

export interface Expected {
  /** Subject → body. */
  readonly resources: ReadonlyMap<string, string>
  /** `<plane>.<function>` → revision and entries, subject → body. */
  readonly units: ReadonlyMap<string, { readonly rev: number; readonly entries: ReadonlyMap<string, string> }>
  readonly acks: ReadonlyMap<string, string>
}

interface Commit {
  readonly rev: number
  readonly diff?: [string, string | null][]
  readonly parts?: { seq: number }[]
}

const recorded = (message: Message): Recorded => ({
  seq: message.seq, time: message.time, subject: message.subject, isDeleted: message.headers["Hg-Deleted"] === "1", generation: message.headers["Hg-Generation"], body: Buffer.from(message.data).toString("utf8"),
})

export class Recorder {
  readonly resources: Recorded[] = []
  readonly commits: Recorded[] = []
  readonly acks: Recorded[] = []
  readonly #parts = new Map<number, string>()
  readonly #commits = new Map<Recorded, Commit>()

  /** Records everything from now on, of streams that are empty or hold everything still. */
  constructor(bus: Bus) {
    bus.follow({ stream: "RESOURCES", filter: "resource.>", from: { after: 0 }, onMessage: (message) => void this.resources.push(recorded(message)) })
    bus.follow({ stream: "APPLIED", filter: "applied.>", from: { after: 0 }, onMessage: (message) => void this.acks.push(recorded(message)) })
    bus.follow({ stream: "CONFIG", filter: "config.>", from: { after: 0 }, onMessage: (message) => {
      const section = message.subject.split(".")[2]
      if (section === "commit") this.commits.push(recorded(message))
      if (section === "part") this.#parts.set(message.seq, recorded(message).body)
    } })
  }

  /** As Moment: `seq` counts for resources, and of the rest what came in a millisecond before the one of the message after it. */
  at(moment: { readonly time: number } | { readonly seq: number }): Expected {
    const next = "seq" in moment ? this.resources.find(({ seq }) => seq === moment.seq + 1) : undefined
    const time = "time" in moment ? moment.time : next === undefined ? Infinity : next.time - 1
    return {
      resources: last(this.resources.filter((message) => ("seq" in moment ? message.seq <= moment.seq : message.time <= time))),
      units: this.#units(time),
      acks: last(this.acks.filter((message) => message.time <= time)),
    }
  }

  #parsed(message: Recorded): Commit {
    const known = this.#commits.get(message)
    if (known !== undefined) return known
    const commit: Commit = JSON.parse(message.body)
    this.#commits.set(message, commit)
    return commit
  }

  #units(time: number): Expected["units"] {
    const units = new Map<string, { rev: number; entries: Map<string, string> }>()
    for (const message of this.commits) {
      if (message.time > time) continue
      const [, plane, , fn] = message.subject.split(".")
      const unit = units.get(`${plane}.${fn}`) ?? { rev: 0, entries: new Map<string, string>() }
      const commit = this.#parsed(message)
      const rows = commit.diff ?? (commit.parts ?? []).flatMap(({ seq }): [string, string | null][] => JSON.parse(this.#parts.get(seq) ?? "missing"))
      for (const [of, now] of rows) {
        if (now === null) unit.entries.delete(of)
        else unit.entries.set(of, now)
      }
      unit.rev = commit.rev
      units.set(`${plane}.${fn}`, unit)
    }
    return units
  }
}

const last = (messages: readonly Recorded[]): Map<string, string> => {
  const found = new Map<string, string>()
  for (const { subject, body, isDeleted } of messages) {
    if (isDeleted) found.delete(subject)
    else found.set(subject, body)
  }
  return found
}
