/** What is on the bus now, read once: for people's questions. */
import { join } from "node:path"
import type { Bus, Message, StreamName } from "../../bus/bus.ts"
import { decodeHeader, header, isDeleted } from "../../bus/envelope.ts"
import { connectBus } from "../../bus/jetstream.ts"
import { parseSubject } from "../../bus/subject.ts"
import { readUnits } from "../../bus/unit/reader.ts"
import type { UnitChange } from "../../bus/unit/unit.ts"
import { readFile } from "../adapters/files/read.ts"
import { dataFolder, readRunning } from "./data-folder.ts"

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
  const url = given !== undefined && given !== "" ? given : running?.alive === true ? running.nats : undefined
  if (url === undefined) throw new Error(`no headgate runs on ${dataFolder()}: start one with "headgate up", or set HEADGATE_NATS_URL or HEADGATE_DATA`)
  return connectBus({ url, name: "headgate", timeout: 3000 })
}

/** Reads files of manifests of the `up` that runs on HEADGATE_DATA; undefined where that is not this machine's. */
export const manifestText = (): ((file: string) => string | undefined) => {
  const folder = readRunning(dataFolder())?.manifests
  return (file) => {
    const read = folder === undefined ? undefined : readFile(join(folder, file), undefined)
    return read?.is === "text" ? read.text : undefined
  }
}

const parse = (data: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(data))

const stateOf = (bus: Bus, stream: StreamName, filter: string): Promise<readonly Message[]> =>
  new Promise((resolve) => {
    const messages: Message[] = []
    const following = bus.follow({
      stream, filter, from: "state",
      onMessage: (message) => void messages.push(message),
      onCaughtUp: () => {
        void following.stop()
        resolve(messages)
      },
    })
  })

const entriesOf = (bus: Bus): Promise<readonly Item[]> =>
  new Promise((resolve, reject) => {
    const bodies = new Map<string, string>()
    const fold = ({ rows }: UnitChange): void => {
      for (const [subject, body] of rows) if (body === null) bodies.delete(subject)
        else bodies.set(subject, body)
    }
    const reader = readUnits(bus, {
      filter: "config.>",
      onChange: fold,
      onCaughtUp: () => {
        void reader.stop()
        resolve([...bodies].flatMap(([subject, body]) => {
          const parsed = parseSubject(subject)
          return parsed?.is === "entry" ? [{ kind: parsed.section, plane: parsed.plane, key: parsed.id, value: JSON.parse(body), file: "" }] : []
        }))
      },
      onLost: (reason) => reject(new Error(`the store was lost: ${reason}`)),
    })
  })

export const observe = async (bus: Bus): Promise<Observed> => {
  const [resources, entries, applied] = await Promise.all([stateOf(bus, "RESOURCES", "resource.>"), entriesOf(bus), stateOf(bus, "APPLIED", "applied.>")])
  return {
    resources: resources.flatMap((message) => {
      const parsed = parseSubject(message.subject)
      return parsed?.is === "resource" && !isDeleted(message.headers) ? [{ kind: parsed.kind, plane: "", key: parsed.key, value: parse(message.data), file: decodeHeader(message.headers[header.source] ?? "") }] : []
    }),
    entries,
    applied: applied.map((message) => parse(message.data)),
  }
}
