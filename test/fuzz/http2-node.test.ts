/**
 * What clients of HTTP/2 say, right and wrong, to our server and to Node's: fields, content, trailers and ends are the same,
 * and so is what is refused, but for what http2-judge.ts lists. See README.md here; chosen.ts says which cases.
 */
import { readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { frame } from "../../gateway/http2/fixture.ts"
import { PING } from "../../gateway/http2/frame.ts"
import { chosen } from "./chosen.ts"
import { fieldBlocksOf } from "./hpack-blocks.ts"
import { conversationOf } from "./http2-conversation.ts"
import { streamOf } from "./http2-generate.ts"
import { judge, partings } from "./http2-judge.ts"
import { Random } from "./random.ts"

const { seed, cases, from, replay } = chosen(3_000)
/** So many meet all that is listed. */
const ALL_MET = 500_000
const MAX_REPORTS = 5

/** With a PING behind it: a field block that is left open is an error, to both. */
const caseOf = (random: Random): Buffer => {
  const octets = random.pick([conversationOf, conversationOf, fieldBlocksOf, fieldBlocksOf, (own: Random) => streamOf(own, true)])(random)
  return Buffer.concat([octets, frame(PING, 0, 0, Buffer.alloc(8))])
}

test(
  `${cases} conversations (seed ${seed}) mean the same to us and to node:http2`,
  async () => {
    const reports: string[] = []
    const met = new Map(partings.map(({ name }) => [name, 0]))
    let sound = 0
    let refused = 0
    for (let index = from; index < from + cases && reports.length < MAX_REPORTS; index++) {
      const octets = caseOf(new Random(seed, index))
      const verdict = await judge(octets)
      if (verdict.isSound) sound++
      else if (verdict.met.length === 0) refused++
      for (const name of new Set(verdict.met)) met.set(name, (met.get(name) ?? 0) + 1)
      for (const fault of verdict.faults) reports.push(`${replay(index)}\n${octets.toString("hex")}\n${fault}`)
    }
    expect(reports).toEqual([])
    console.log([`${cases} cases of seed ${seed}: ${((sound / cases) * 100).toFixed(1)} % taken by both, ${((refused / cases) * 100).toFixed(1)} % refused by both; parted on purpose in`, ...[...met].map(([name, count]) => `${String(count).padStart(7)} ${name}`)].join("\n"))
    if (cases < 1_000) return
    expect(sound / cases).toBeGreaterThan(0.3)
    expect(refused / cases).toBeGreaterThan(0.1)
    if (cases >= ALL_MET) expect([...met].filter(([, count]) => count === 0), "listed and no longer met").toEqual([])
  },
  120_000 + 10 * cases,
)

const corpus = join(import.meta.dirname, "corpus")

describe("what they once parted over, or is told apart", () => {
  test.each(readdirSync(corpus).filter((file) => file.endsWith(".h2")).toSorted())("%s", async (file) => {
    expect((await judge(readFileSync(join(corpus, file)))).faults).toEqual([])
  })
})
