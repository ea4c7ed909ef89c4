/** See README.md here; chosen.ts says which cases. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import { isDeepStrictEqual } from "node:util"
import { describe, expect, test } from "vitest"
import { arrival, everyOctet, type Arrival } from "./cases.ts"
import { chosen } from "./chosen.ts"
import { differences } from "./differences.ts"
import { forgotten, judge, type Verdict } from "./judge.ts"
import { misread } from "./onward.ts"
import { transcriptOf } from "./subject.ts"
import type { Case } from "./transcript.ts"

const { seed, cases, from, isWhole, replay } = chosen(30_000)
const MAX_REPORTS = 5

/** What is wrong about a case; empty: nothing. */
const faultsOf = ({ given, cuts, poison }: Arrival, verdict: Verdict): readonly string[] => {
  const faults: string[] = []
  if (verdict.unexplained !== null) faults.push(`unexplained: ${JSON.stringify(verdict.unexplained, null, 1)}`)
  for (const name of forgotten(given, verdict.ours)) faults.push(`accepted in spite of: ${name}`)
  let answered = 0
  const inPieces = transcriptOf(given, cuts, poison, (message, forwarded) => {
    const otherwise = misread(message, forwarded, given.methods[answered] ?? given.methods.at(-1) ?? "GET")
    if (otherwise !== null) faults.push(`what goes on is misread: ${otherwise}`)
    if (given.kind === "response" && !message.start.startsWith("1")) answered++
  })
  if (!isDeepStrictEqual(inPieces, verdict.ours)) faults.push(`cut at ${cuts.join(", ")} before ${poison}: ${JSON.stringify(inPieces)}\nwhole: ${JSON.stringify(verdict.ours)}`)
  return faults
}

test(
  `${cases} generated and mutated messages (seed ${seed}) mean the same to us and to llhttp, in whatever pieces they come`,
  async () => {
    const reports: string[] = []
    const met = new Map(differences.map(({ name }) => [name, 0]))
    let accepted = 0
    for (let index = from; index < from + cases && reports.length < MAX_REPORTS; index++) {
      // Lets the runner hear from us.
      if (index % 10_000 === 0) await setImmediate()
      const arrived = arrival(seed, index)
      const verdict = judge(arrived.given)
      if (verdict.isAcceptedByBoth) accepted++
      for (const name of new Set(verdict.met)) met.set(name, (met.get(name) ?? 0) + 1)
      for (const fault of faultsOf(arrived, verdict)) reports.push(`${replay(index)}\n${JSON.stringify(arrived.given)}\n${fault}`)
    }
    expect(reports).toEqual([])
    console.log([`${cases} cases of seed ${seed}: ${((accepted / cases) * 100).toFixed(1)} % accepted by both; parted on purpose in`, ...[...met].map(([name, count]) => `${String(count).padStart(7)} ${name}`)].join("\n"))
    if (!isWhole) return
    expect(accepted / cases).toBeGreaterThanOrEqual(0.3)
    expect([...met].filter(([, count]) => count === 0), "listed and no longer met").toEqual([])
  },
  60_000 + cases,
)

const corpus = join(import.meta.dirname, "corpus")

/** `request.what.http`, `response.GET.what.http`: octets as they were. */
const caseIn = (file: string): Case => {
  const [kind = "", method = ""] = file.split(".")
  const text = readFileSync(join(corpus, file), "latin1")
  if (kind === "request") return { kind, text, methods: [] }
  if (kind === "response") return { kind, text, methods: [method] }
  throw new TypeError(`${file} is neither request nor response`)
}

describe("what they once parted over", () => {
  test.each(readdirSync(corpus).filter((file) => file.endsWith(".http")).toSorted())("%s", (file) => {
    const given = caseIn(file)
    expect(faultsOf({ given, cuts: everyOctet(given.text.length), poison: 0x30 }, judge(given))).toEqual([])
  })
})
