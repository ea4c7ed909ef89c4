/** Fields through Node's encoder to our decoder, and through ours to Node's, over connections whose tables have every size; chosen.ts says which cases. */
import http2 from "node:http2"
import { expect, test } from "vitest"
import { Connection } from "../../gateway/http2/connection.ts"
import { Recorder, fieldList } from "../../gateway/http2/fixture.ts"
import { defaults } from "../../gateway/http2/settings.ts"
import { chosen } from "./chosen.ts"
import { Pipe, untilQuiet } from "./http2-theirs.ts"
import { Random } from "./random.ts"

const { seed, cases, from, replay } = chosen(600)
const REQUESTS = 6

type Fields = readonly (readonly [string, string])[]

/** Node sends these once. */
const single = new Set(["user-agent", "authorization", "etag"])

const fieldsOf = (random: Random): Fields => {
  const seen = new Set<string>()
  return Array.from({ length: random.below(12) }, () => fieldOf(random)).filter(([name]) => {
    const isRepeated = single.has(name) && seen.has(name)
    seen.add(name)
    return !isRepeated
  })
}

const fieldOf = (random: Random): Fields[number] => [
  random.pick(["x-a", "x-b", "accept", "user-agent", "cookie", "authorization", "x-forwarded-for", "etag", "x-!#$%&'*+-.^_`|~", `x-${random.below(40)}`]),
  random.pick(["", "a", `${random.below(1_000)}`, "v".repeat(random.below(300)), "text/html,application/xhtml+xml;q=0.9", random.octets(random.below(40)).replaceAll(/[\0-\x1f\x7f]|^ +| +$/g, "x")]),
]

/** As Node takes them: values of one name together. */
const headersOf = (fields: Fields): http2.OutgoingHttpHeaders => {
  const headers: Record<string, string[]> = {}
  for (const [name, value] of fields) (headers[name] ??= []).push(value)
  return headers
}

/** In the order in which Node sends headersOf(). */
const orderOf = (fields: Fields): readonly string[] => [...Map.groupBy(fields, ([name]) => name).values()].flat().flat()

/** Null: all came as it was sent. */
const differenceOf = async (random: Random): Promise<string | null> => {
  const settings = { ...defaults, decoderTable: random.pick([0, 64, 300, 4_096, 65_536]), encoderTable: random.pick([0, 100, 4_096, 16_384]) }
  const tableOctets = random.pick([0, 60, 500, 4_096, 65_536])
  const pipe = new Pipe()
  const owner = new Recorder()
  const heard = new Map<number, readonly string[]>()
  const answers = new Map<number, Fields>()
  const connection = (owner.connection = new Connection<string>(true, settings, owner))
  let events = 0
  const flush = (): void => {
    if (connection.pendingOctets === 0) return
    pipe.push(Buffer.from(connection.takeOutput()))
    connection.onFlushed()
  }
  owner.onRequest = (stream, fields) => {
    heard.set(stream.id, [...fields].flat().slice(8))
    const answer = fieldsOf(random)
    answers.set(stream.id, answer)
    connection.sendHeaders(stream, fieldList([[":status", "200"], ...answer]), true)
  }
  pipe.onWritten = (octets) => {
    events++
    connection.receive(octets, 0, octets.length, 0)
    flush()
  }
  const client = http2.connect("http://a", { createConnection: () => pipe, settings: { headerTableSize: tableOctets, enablePush: false }, maxDeflateDynamicTableSize: random.pick([0, 4_096, 65_536]) })
  const failures: string[] = []
  client.on("error", (error) => failures.push(error.message))
  flush()
  const faults: string[] = []
  const asked = Array.from({ length: REQUESTS }, () => fieldsOf(random))
  let answered = 0
  for (const fields of asked) {
    const stream = client.request({ ":method": "GET", ":path": "/", ...headersOf(fields) })
    stream.on("error", (error) => failures.push(error.message))
    stream.on("response", (_headers, _flags, raw: readonly string[]) => {
      answered++
      const id = stream.id ?? 0
      if (heard.get(id)?.join("\n") !== orderOf(fields).join("\n")) faults.push(`sent ${JSON.stringify(orderOf(fields))}, we heard ${JSON.stringify(heard.get(id))}`)
      const answer = (answers.get(id) ?? []).flat()
      if (raw.slice(2).join("\n") !== answer.join("\n")) faults.push(`we sent ${JSON.stringify(answer)}, heard ${JSON.stringify(raw.slice(2))}`)
    })
    stream.resume()
    // Some before our settings are known, some after.
    if (random.once(2)) await untilQuiet(() => events + answered)
  }
  await untilQuiet(() => events + answered)
  client.destroy()
  pipe.destroy()
  if (failures.length > 0 || answered < REQUESTS) faults.push(`${answered} of ${REQUESTS} answered; ${failures.join(", ")}; ${owner.log.filter((line) => line.startsWith("fail") || line.startsWith("refused")).join(", ")}`)
  return faults.length === 0 ? null : faults.join("\n")
}

test(
  `${cases} connections (seed ${seed}) of ${REQUESTS} requests: fields come through node:http2's compression and ours as they were`,
  async () => {
    for (let index = from; index < from + cases; index++) expect(await differenceOf(new Random(seed, index)), replay(index)).toBeNull()
    console.log(`${cases} connections of seed ${seed}`)
  },
  60_000 + 20 * cases,
)
