/** `headgate events [-f]`: every edit and what became of it, a line each. */
import type { Bus, Message, StreamName } from "../../bus/bus.ts"
import { header, isDeleted } from "../../bus/envelope.ts"
import { parseSubject } from "../../bus/subject.ts"
import { decodeCommit } from "../../bus/unit/commit.ts"
import type { Commit } from "../../bus/unit/unit.ts"
import { clock } from "./explain-layout.ts"
import { at, jsonIn } from "./field.ts"
import { printable } from "./get.ts"


const bodyOf = ({ data }: Message): unknown => jsonIn(new TextDecoder().decode(data))

const noteText = (value: unknown): string => `note ${String(at(value, "reason"))}: ${String(at(value, "message"))}`

const resourceLine = (kind: string, key: string, message: Message): string => {
  const what = kind === "sync" ? key.slice(key.indexOf("/") + 1) : `${kind} ${key}`
  if (isDeleted(message.headers)) return `${what} deleted`
  if (kind === "sync") return `every ${what} has been published`
  if (kind === "note") return noteText(bodyOf(message))
  const generation = message.headers[header.generation]
  return `${what}, ${message.data.length} bytes${generation === undefined ? "" : `, generation ${generation}`}`
}

/** `routes@2`: function and revision. */
const served = (message: Message): string => {
  const units = Object.entries(at(bodyOf(message), "units") ?? {}).map(([fn, unit]) => `${fn}@${String(at(unit, "rev"))}`)
  return units.length === 0 ? "nothing" : units.join(", ")
}

/** One line for a message, undefined for what is not an event of its own (entries follow their commit). */
const line = (stream: StreamName, message: Message): string | undefined => {
  const parsed = parseSubject(message.subject)
  const start = `${clock(message.time)}  ${stream.padEnd(9)} ${String(message.seq).padStart(7)}  `
  if (parsed?.is === "resource") return start + resourceLine(parsed.kind, parsed.key, message)
  if (parsed?.is === "commit") {
    let commit: Commit
    try {
      commit = decodeCommit(message.data)
    } catch (error) {
      return `${start}commit of ${parsed.fn} for ${parsed.plane} cannot be read: ${error instanceof Error ? error.message : String(error)}`
    }
    const rows = commit.diff?.map(([subject, body]) => {
      const entry = parseSubject(subject)
      if (entry?.is !== "entry") return subject
      // A note's id is a hash: what it says is its name.
      const name = entry.section === "note" && body !== null ? noteText(jsonIn(body)) : `${entry.section} ${entry.id}`
      return `${body === null ? "-" : "+"}${name}`
    })
    const what = rows === undefined ? `${commit.parts?.length ?? 0} parts` : rows.length > 4 ? `${rows.slice(0, 4).join(", ")} and ${rows.length - 4} more` : rows.join(", ")
    return `${start}${parsed.fn} for ${parsed.plane} rev ${commit.rev}: ${what === "" ? "nothing changed" : what}${commit.causes.length === 0 ? "" : `  because of ${commit.causes.slice(0, 3).join(", ")}`}`
  }
  if (parsed?.is === "applied") return `${start}${parsed.pod} of ${parsed.plane} serves ${served(message)}`
  return undefined
}

/** Prints what is stored, oldest first, then, with `follow`, what comes, until the process ends. */
export const events = async (bus: Bus, follow: boolean, print: (line: string) => void): Promise<void> => {
  const stored: { readonly time: number; readonly text: string }[] = []
  let live = false
  const streams = ["RESOURCES", "CONFIG", "APPLIED"] as const
  await Promise.all(streams.map((stream) => new Promise<void>((resolve) => {
    bus.follow({
      stream, filter: stream === "CONFIG" ? "config.*.commit.>" : ">", from: { after: 0 },
      onMessage: (message) => {
        const shown = line(stream, message)
        if (shown === undefined) return
        const text = printable(shown)
        if (live) print(text)
        else stored.push({ time: message.time, text })
      },
      onCaughtUp: () => resolve(),
    })
  })))
  for (const { text } of stored.sort((a, b) => a.time - b.time)) print(text)
  live = true
  if (follow) await new Promise<never>(() => undefined)
}
