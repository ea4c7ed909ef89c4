/** What is on the bus now, read once: for people's questions. */
import { join, sep } from "node:path"
import type { Bus, Message, StreamName } from "../../bus/bus.ts"
import { decodeHeader, header, isDeleted } from "../../bus/envelope.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { AWAY_AFTER } from "../../bus/presence.ts"
import { parseSubject } from "../../bus/subject.ts"
import { readUnits } from "../../bus/unit/reader.ts"
import type { UnitChange } from "../../bus/unit/unit.ts"
import { readFile } from "../adapters/files/read.ts"
import { operatorAccess, ownEnvironment } from "./bus-process.ts"
import { dataFolder, readRunning } from "./data-folder.ts"
import { jsonOrText } from "./field.ts"

/** One value, wherever it lives. */
export interface Item {
  /** Subject token of the kind or section: `httproute`, `cluster`. */
  readonly kind: string
  /** Empty for resources. */
  readonly plane: string
  /** `<namespace>/<name>` of a resource, id of an entry. */
  readonly key: string
  readonly value: unknown
  /** Of a resource: file it came from, relative to its adapter's folder; "" when that is not known. */
  readonly file: string
}

export interface Observed {
  readonly resources: readonly Item[]
  readonly entries: readonly Item[]
  readonly applied: readonly unknown[]
}

/** The bus of HEADGATE_NATS_URL, else of the `up` that runs on HEADGATE_DATA. Throws when there is neither. */
export const connectToRunning = async (): Promise<Bus> => {
  const given = process.env["HEADGATE_NATS_URL"]
  const running = readRunning(dataFolder())
  const isGiven = given !== undefined && given !== ""
  const url = isGiven ? given : running?.alive === true ? running.nats : undefined
  if (url === undefined) throw new Error(`no headgate runs on ${dataFolder()}: start one with "headgate up", or set HEADGATE_NATS_URL or HEADGATE_DATA`)
  const isOwn = !isGiven && running?.port !== undefined
  return connectBus({ url, name: "headgate", timeout: 3000, ...(isOwn ? { access: operatorAccess({ url, environment: ownEnvironment(dataFolder(), url) }) } : {}) })
}

/** Reads files of manifests of the `up` that runs on `data`; undefined where that is not this machine's. */
export const manifestText = (data = dataFolder()): ((file: string) => string | undefined) => {
  const folder = readRunning(data)?.manifests
  return (file) => {
    // What the bus says may name any file: only those of the folder are looked into.
    const path = folder === undefined ? "" : join(folder, file)
    const read = folder === undefined || !path.startsWith(folder + sep) ? undefined : readFile(path, undefined)
    return read?.is === "text" ? read.text : undefined
  }
}

const parseData = ({ data }: Message): unknown => jsonOrText(new TextDecoder().decode(data))

/** What a pod last said, as of now: one that stopped long ago is left out, one that has gone silent is not ready (bus/presence.ts). */
export const podAs = (value: unknown, time: number, now: number): readonly unknown[] => {
  if (now - time <= AWAY_AFTER || typeof value !== "object" || value === null) return [value]
  return "ready" in value && value.ready === true ? [{ ...value, ready: false, waiting: `It has said nothing since ${new Date(time).toISOString()}.` }] : []
}

/** What reads need to end also when the bus does not let them. */
interface Reading {
  /** Why it cannot be finished, so far. */
  doubt: string
  readonly fail: (why: string) => void
}

const stateOf = (bus: Bus, stream: StreamName, filter: string, { fail }: Reading): Promise<readonly Message[]> =>
  new Promise((resolve) => {
    const messages: Message[] = []
    const following = bus.follow({
      stream, filter, from: "state",
      onMessage: (message) => void messages.push(message),
      onCaughtUp: () => {
        queueMicrotask(() => void following.stop())
        resolve(messages)
      },
      onLost: (reason) => fail(`the store was lost: ${reason}`),
    })
  })

const entriesOf = (bus: Bus, reading: Reading): Promise<readonly Item[]> =>
  new Promise((resolve) => {
    const bodies = new Map<string, string>()
    const fold = ({ rows }: UnitChange): void => {
      for (const [subject, body] of rows) if (body === null) bodies.delete(subject)
        else bodies.set(subject, body)
    }
    const reader = readUnits(bus, {
      filter: "config.>",
      onChange: fold,
      onCaughtUp: () => {
        queueMicrotask(() => void reader.stop())
        resolve([...bodies].flatMap(([subject, body]) => {
          const parsed = parseSubject(subject)
          return parsed?.is === "entry" ? [{ kind: parsed.section, plane: parsed.plane, key: parsed.id, value: jsonOrText(body), file: "" }] : []
        }))
      },
      onNote: (_reason, message) => { reading.doubt = message },
      onLost: (reason) => reading.fail(`the store was lost: ${reason}`),
    })
  })

/** Everything there is now. Rejects when the store is lost, or it cannot all be read and verified within `patience` ms. */
export const observe = async (bus: Bus, patience = 10_000): Promise<Observed> => {
  const failed = Promise.withResolvers<never>()
  const reading: Reading = { doubt: "the bus does not answer", fail: (why) => failed.reject(new Error(why)) }
  const timer = setTimeout(() => reading.fail(`what is configured cannot be read: ${reading.doubt}`), patience)
  try {
    const reads = Promise.all([stateOf(bus, "RESOURCES", "resource.>", reading), entriesOf(bus, reading), stateOf(bus, "APPLIED", "applied.>", reading)])
    const [resources, entries, applied] = await Promise.race([reads, failed.promise])
    return {
      resources: resources.flatMap((message) => {
        const parsed = parseSubject(message.subject)
        return parsed?.is === "resource" && !isDeleted(message.headers) ? [{ kind: parsed.kind, plane: "", key: parsed.key, value: parseData(message), file: decodeHeader(message.headers[header.source] ?? "") }] : []
      }),
      entries,
      applied: applied.flatMap((message) => podAs(parseData(message), message.time, Date.now())),
    }
  } finally {
    clearTimeout(timer)
  }
}
