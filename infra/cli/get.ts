/** `headgate get`: what is configured and what is wrong with it, as kubectl would show it. */
import { Schema } from "effect"
import { stringify } from "yaml"
import { kinds, type Note } from "../../bus/kinds/config.ts"
import type { Item, Observed } from "./observe.ts"
import { columnsOf } from "./columns.ts"
import { statuses } from "./conditions.ts"
import { placer } from "./placed-notes.ts"

export interface GetOptions {
  readonly kind: string | undefined
  readonly name: string | undefined
  readonly namespace: string | undefined
  readonly output: "table" | "wide" | "json" | "yaml"
}

export const aliases: Readonly<Record<string, string>> = {
  gc: "gatewayclass", gatewayclasses: "gatewayclass", gw: "gateway", gateways: "gateway", hr: "httproute", httproutes: "httproute", grpcroutes: "grpcroute", routes: "route", svc: "service", services: "service",
  ns: "namespace", namespaces: "namespace", eps: "endpointslice", endpointslices: "endpointslice", ep: "endpoints", clusters: "cluster", listeners: "listener", notes: "note",
  overlays: "overlay", demands: "demand", plans: "plan", secrets: "secret", certificates: "certificate", certs: "certificate", cert: "certificate", referencegrants: "referencegrant", rg: "referencegrant", status: "status", statuses: "status", pods: "pod", pod: "pod",
}

/** Shown by `get` alone, in this order. */
const overview = ["gateway", "httproute", "grpcroute", "service", "cluster", "pod", "note"]

/** Text to print; throws for a kind or name that does not exist. `textOf` gives the text of a file of manifests, undefined when it cannot be read here. */
export const get = (observed: Observed, options: GetOptions, textOf: (file: string) => string | undefined): string => {
  const items = itemsOf(observed)
  const kinds = [...new Set([...items.map((item) => item.kind), ...Object.values(aliases)])]
  const kind = options.kind === undefined ? undefined : (aliases[options.kind.toLowerCase()] ?? options.kind.toLowerCase())
  if (kind !== undefined && !kinds.includes(kind)) throw new Error(`there is no kind "${options.kind}"; there are: ${kinds.sort().join(", ")}`)
  const found = items
    .filter((item) => (kind === undefined ? overview.includes(item.kind) : item.kind === kind))
    .filter((item) => options.namespace === undefined || isIn(item, options.namespace))
    .filter((item) => options.name === undefined || item.key === options.name || item.key.split("/").at(-1) === options.name)
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  const chosen = withPlaces(found, observed, textOf)
  if (options.name !== undefined && chosen.length === 0) throw new Error(`there is no ${kind ?? "object"} "${options.name}"${options.namespace === undefined ? "" : ` in ${options.namespace}`}`)
  if (options.output === "json" || options.output === "yaml") {
    const statusOf = statuses(observed)
    const values = chosen.map(({ kind: of, plane, key, value }) => {
      const status = plane === "" ? statusOf(of, key) : undefined
      return { kind: of, key, ...(plane === "" ? {} : { plane }), value, ...(status === undefined ? {} : { status }) }
    })
    const one = options.name !== undefined && values.length === 1 ? values[0] : values
    return options.output === "json" ? `${JSON.stringify(one, null, 2)}\n` : stringify(one)
  }
  const sections = (kind === undefined ? overview : [kind]).map((of) => {
    const own = chosen.filter((item) => item.kind === of)
    if (own.length === 0) return kind === undefined ? (of === "note" ? "No notes: nothing is wrong.\n" : "") : `No ${of} found.\n`
    const { head, row } = columnsOf(of, observed, options.output === "wide")
    return table(head, own.map(row), kind === undefined ? of : undefined)
  })
  return sections.filter((section) => section !== "").join("\n")
}

const itemsOf = ({ resources, entries, applied }: Observed): readonly Item[] => [
  ...resources,
  ...entries,
  ...applied.flatMap((value): Item[] => (typeof value === "object" && value !== null && "pod" in value && "plane" in value ? [{ kind: "pod", plane: String(value.plane), key: String(value.pod), value, file: "" }] : [])),
  ...applied.flatMap((value) => notesOf(value)),
]

const isNote = Schema.is(kinds.note.schema)

/** Notes of functions with the file and line of what they are about. */
const withPlaces = (items: readonly Item[], { resources }: Observed, textOf: (file: string) => string | undefined): readonly Item[] => {
  const placed = placer(resources, textOf)
  return items.flatMap((item) => (item.kind === "note" && item.plane !== "" && isNote(item.value) ? placed(item.value).map((value): Item => ({ ...item, value })) : [item]))
}

/** Everybody's notes on an object by its kind as in Kubernetes (`HTTPRoute`) and key, the worst first. */
export const notesOn = (observed: Observed, textOf: (file: string) => string | undefined): ((kindName: string, key: string) => readonly Note[]) => {
  const weight = { error: 0, warning: 1, info: 2 } as const
  const notes = withPlaces(itemsOf(observed).filter(({ kind }) => kind === "note"), observed, textOf).flatMap(({ value }) => (isNote(value) ? [value] : []))
  const byObject = Map.groupBy(notes, ({ about }) => (about === undefined ? "" : `${about.kind} ${about.namespace}/${about.name}`))
  return (kindName, key) => (byObject.get(`${kindName} ${key}`) ?? []).toSorted((a, b) => weight[a.severity] - weight[b.severity])
}

/** A resource by its key, a note by what it is about, an entry by any part of its id. */
const isIn = ({ kind, plane, key, value }: Item, namespace: string): boolean => {
  if (kind === "note" && typeof value === "object" && value !== null && "about" in value) return typeof value.about === "object" && value.about !== null && "namespace" in value.about && value.about.namespace === namespace
  return plane === "" ? key.slice(0, key.indexOf("/")) === namespace : key.split("/").includes(namespace)
}

/** What gateways themselves have to say travels in their acks. */
const notesOf = (applied: unknown): readonly Item[] => {
  if (typeof applied !== "object" || applied === null || !("notes" in applied) || !Array.isArray(applied.notes) || !("pod" in applied)) return []
  return applied.notes.map((note: unknown, i): Item => ({ kind: "note", plane: "", key: `gateway/${String(applied.pod)}/${i}`, value: note, file: "" }))
}

/** On one line, and none of it an order to the terminal: messages quote what users wrote. */
export const printable = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ")

const table = (head: readonly string[], values: readonly (readonly string[])[], title: string | undefined): string => {
  const rows = values.map((row) => row.map(printable))
  const widths = head.map((name, i) => rows.reduce((width, row) => Math.max(width, row[i]?.length ?? 0), name.length))
  const line = (cells: readonly string[]): string => cells.map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join("   ").trimEnd()
  return `${title === undefined ? "" : `${title.toUpperCase()}S\n`}${[head, ...rows].map(line).join("\n")}\n`
}
