/** What was explained of objects and entries, in words. */
import { stringify } from "yaml"
import type { Derived, ExplainedEntry, ExplainedObject, ResolvedCause, SaidNote, Served } from "./explain-object.ts"
import type { Edit, Entry } from "./explain-read.ts"
import { clock, columns, date, seconds, section } from "./explain-layout.ts"
import { fieldBeside } from "./field.ts"
import { nameText, type ObjectName } from "./object-name.ts"

/** Of one function's entries so many are named. */
const LISTED = 8
/** Lines of an entry's value. */
const VALUE_LINES = 30

export const objectText = ({ object, edit, kept, derived, unanswered, isUnread, served, notes }: ExplainedObject): string => {
  const last = derived.length === 0 ? undefined : Math.max(...derived.map(({ time }) => time))
  return [
    `${nameText(object)}\n\n`,
    edit === undefined ? section("edit", ["no version of it has been published; the notes below say why"]) : section("edit", [editText(edit), `${kept === 1 ? "the only version" : `the newest of ${kept} versions`} kept on the bus${edit.version === "" ? "" : `; version ${edit.version}`}${edit.writer === "" ? "" : `; published by ${edit.writer}`}`]),
    ...unanswered.map(({ fn, heard }) => section("waiting", [`function ${fn} ${heard === undefined ? "does not say how far it is: it does not run, or cannot reach the bus" : `has answered RESOURCES up to ${heard}, not yet ${edit?.seq}`}`])),
    derived.length === 0 && edit !== undefined ? section("derived", [isUnread ? `nothing: no function on this bus reads objects of kind ${object.kind}` : `nothing follows from it${notes.length === 0 ? "" : "; the notes below say why"}`]) : "",
    ...derived.map((one) => section(`${one.fn}@${one.commit?.version ?? "?"}`, derivedLines(one, object, edit))),
    servedText(served, last),
    notesText(notes),
  ].join("")
}

const editText = ({ isDeleted, file, generation, seq, time }: Edit): string =>
  `${isDeleted ? "deleted" : file === "" ? "published" : file}${generation === undefined || isDeleted ? "" : `, generation ${generation}`}, at ${date(time)}, sequence ${seq} of RESOURCES`

const derivedLines = ({ plane, rev, epoch, time, commit, entries }: Derived, { kind, key }: ObjectName, edit: Edit | undefined): readonly string[] => {
  const name = `${kind}/${key}`
  const isOfThis = ({ causes }: Entry): boolean => edit !== undefined && causes.includes(`${name}@${edit.seq}`)
  const isByWay = ({ causes }: Entry): boolean => !causes.some((cause) => cause.startsWith(`${name}@`))
  const later = time - (edit?.time ?? time + 1)
  const head = `data plane ${plane}, revision ${rev} of epoch ${epoch}, at ${clock(time)}${later >= 0 && later < 60_000 ? ` (${seconds(later)} after the edit)` : ""}${commit === undefined ? "; the commit is no longer kept" : ""}`
  const listed = columns(entries.slice(0, LISTED).map((entry) => [
    `  ${entry.body === undefined ? "-" : "+"} ${entry.section} ${entry.id}`,
    isOfThis(entry) ? "from this edit" : isByWay(entry) ? `revision ${entry.rev}, by way of others` : `the same since revision ${entry.rev}`,
  ]))
  return [head, ...listed, ...(entries.length > LISTED ? [`    and ${entries.length - LISTED} more`] : [])]
}

const servedText = (served: readonly Served[], last: number | undefined): string => {
  if (served.length === 0) return last === undefined ? "" : section("served", ["by no gateway"])
  return section("served", columns(served.map(({ pod, ready, lacks, time }) => [
    `${lacks.length === 0 ? "+" : "-"} gateway ${pod}`,
    lacks.length === 0 ? `serves it${ready ? "" : ", and is not ready"}` : `not yet: ${lacks.map(({ fn, has, wants }) => `${fn} at ${has ?? "nothing"}, not yet ${wants}`).join("; ")}`,
    `last ack ${clock(time)}`,
  ])))
}

const notesText = (notes: readonly SaidNote[]): string =>
  section("notes", notes.flatMap(({ by, note: { severity, reason, message, field, fix, file, line } }) => [
    `${severity} ${reason}${fieldBeside({ field, message }) === "" ? "" : ` at ${field}`}${file === undefined ? "" : `, ${file}${line === undefined ? "" : `:${line}`}`} (${by})`,
    `  ${message}${fix === undefined ? "" : ` ${fix}`}`,
  ]))

export const entryText = ({ entry, commit, version, causes, hasMore, served, notes }: ExplainedEntry): string => [
  `${entry.section} ${entry.id}  in data plane ${entry.plane}\n\n`,
  section("value", entry.body === undefined ? ["removed"] : valueLines(entry)),
  section("commit", [
    `${entry.fn}@${version}, revision ${entry.rev} of epoch ${entry.epoch}, at ${date(commit?.time ?? entry.time)}${commit === undefined ? "; the commit is no longer kept" : `, sequence ${commit.seq} of CONFIG`}`,
    ...(commit === undefined ? [] : [`written by ${commit.writer}, because of ${commit.causes.length === 0 ? "nothing that was told" : commit.causes.slice(0, 4).join(", ")}${commit.causes.length > 4 ? ", …" : ""}`]),
  ]),
  section("made from", [...columns(causes.flatMap((cause) => causeRows(cause, ""))), ...(hasMore ? ["…"] : []), ...(causes.length === 0 ? ["nothing that was told"] : [])]),
  servedText(served, entry.time),
  notesText(notes),
].join("")

const causeRows = ({ cause: { text, is }, from }: ResolvedCause, indent: string): readonly (readonly string[])[] => {
  const what = is.of === "edit" ? editText(is.edit).replace(/, sequence \d+ of RESOURCES$/, "") : is.of === "commit" ? `${is.commit.fn}@${is.commit.version}, revision ${is.commit.rev}, at ${date(is.commit.time)}` : is.of === "ack" ? `ack of gateway ${is.pod}, at ${date(is.time)}` : "no longer kept"
  return [[`${indent}${text}`, what], ...from.flatMap((one) => causeRows(one, `${indent}  `))]
}

const valueLines = ({ body, section: of }: Entry): readonly string[] => {
  const lines = stringify(shownValue(of, body ?? ""), { lineWidth: 0 }).trimEnd().split("\n")
  return lines.length <= VALUE_LINES ? lines : [...lines.slice(0, VALUE_LINES), `… and ${lines.length - VALUE_LINES} more lines`]
}

/** Of a certificate neither the chain, which says nothing to people, nor the sealed key, which is nobody's business. */
export const shownValue = (of: string, body: string): unknown => {
  try {
    const value: unknown = JSON.parse(body)
    if (of !== "certificate" || typeof value !== "object" || value === null) return value
    const count = ("chain" in value && typeof value.chain === "string" ? value.chain : "").split("-----BEGIN CERTIFICATE-----").length - 1
    return { ...value, ...("chain" in value ? { chain: `${count} ${count === 1 ? "certificate" : "certificates"}` } : {}), ...("key" in value ? { key: "<sealed>" } : {}) }
  } catch {
    return body
  }
}
