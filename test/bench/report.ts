/** Figures as Markdown, with what a reader needs to judge them. */
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"
import { join } from "node:path"

/** The value below which `share` of the values lie (nearest rank). NaN of nothing. */
export const quantile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}

const number = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2))

/** `p50 / p99 / max` */
export const spread = (values: readonly number[]) => [0.5, 0.99, 1].map((share) => number(quantile(values, share))).join(" / ")

/** `median (min–max)`; a dash where there is nothing to tell. */
export const middle = (values: readonly number[]) => (values.every(Number.isNaN) ? "–" : `${number(quantile(values, 0.5))} (${number(Math.min(...values))}–${number(Math.max(...values))})`)

const table = (header: readonly string[], rows: readonly (readonly string[])[]) => [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n")

const machine = () => `${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform} ${release()}, Node ${process.versions.node}`

const path = join(import.meta.dirname, "RESULTS.md")
const preamble = "# Measured\n\nEach table is the newest run of its bench, put here by it.\n"

/** Prints the table and puts it into RESULTS.md, in place of the one with this title. */
export const report = (title: string, header: readonly string[], rows: readonly (readonly string[])[], remarks: readonly string[] = []): void => {
  const text = [
    `### ${title}`,
    "",
    `\`npm run bench -- ${process.argv.slice(2).join(" ")}\` · ${new Date().toISOString().slice(0, 16)}Z · ${machine()}`,
    "",
    table(header, rows),
    "",
    ...remarks.map((remark) => `- ${remark}`),
    ...(remarks.length > 0 ? [""] : []),
  ].join("\n")
  console.log(text)
  const [head = preamble, ...sections] = stored().split(/^(?=### )/m)
  const at = sections.findIndex((section) => section.startsWith(`### ${title}\n`))
  sections.splice(at < 0 ? sections.length : at, 1, `${text}\n`)
  writeFileSync(path, [head, ...sections].map((section) => section.trimEnd()).join("\n\n") + "\n")
}

const stored = (): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return preamble
  }
}

/** `--edits 300`, `--edits=300` → 300; `fallback` when it is not there. Throws TypeError for what is not a positive whole number. */
export const option = (argv: readonly string[], name: string, fallback: number): number => {
  const at = argv.findIndex((each) => each === `--${name}` || each.startsWith(`--${name}=`))
  if (at < 0) return fallback
  const text = argv[at]?.split("=", 2)[1] ?? argv[at + 1] ?? ""
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new TypeError(`--${name} takes a positive whole number, not "${text}"`)
  return value
}
