/** Text for a terminal of 100 columns: a label at the left, its lines beside it, long ones wrapped. */
import { printable } from "./get.ts"

const WIDTH = 100
const LABEL = 12

/** `indent` of what is wrapped, below where the line began. */
const wrapped = (line: string, room: number): readonly string[] => {
  const text = printable(line).trimEnd()
  const start = text.length - text.trimStart().length
  const hanging = " ".repeat(Math.min(start + 2, 20))
  const lines: string[] = []
  let rest = text
  while (rest.length > room) {
    const space = rest.lastIndexOf(" ", room)
    const cut = space > hanging.length ? space : room
    lines.push(rest.slice(0, cut).trimEnd())
    rest = hanging + rest.slice(cut).trimStart()
  }
  return [...lines, rest]
}

/** A paragraph under a label; nothing where there are no lines. */
export const section = (label: string, lines: readonly string[]): string =>
  lines.flatMap((line) => wrapped(line, WIDTH - LABEL)).map((line, i) => `${(i === 0 ? label : "").padEnd(LABEL)}${line}`.trimEnd() + "\n").join("")

/** Columns, each as wide as it needs. */
export const columns = (rows: readonly (readonly string[])[]): readonly string[] => {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, printable(cell).length)
  return rows.map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : printable(cell).padEnd(widths[i] ?? 0))).join("  "))
}

export const clock = (time: number): string => new Date(time).toISOString().slice(11, 23)
export const date = (time: number): string => new Date(time).toISOString().replace("T", " ").slice(0, 23)
export const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1).replace(/\.0$/, "")} s`)
