import { expect, test } from "vitest"
import type { Message } from "../bus.ts"
import { header } from "../envelope.ts"
import { encodeCommit } from "./commit.ts"
import { judge, type Known } from "./last-commit.ts"
import type { CommitHead } from "./unit.ts"

const head = (rev: number, epoch = 5, writer = "w"): CommitHead => ({ rev, prev: rev - 1, epoch, writer, version: "1", digest: "0".repeat(64), count: 0, causes: [] })
const stored = (seq: number, of: CommitHead): Message => ({
  subject: "config.default.commit.routes", seq, time: 0, data: Buffer.from(encodeCommit(of, { diff: "[]" })), headers: { [header.epoch]: String(of.epoch), [header.rev]: String(of.rev) },
})
const known = (more: Partial<Known> = {}): Known => ({ incarnation: "i", epoch: 5, seq: 10, foreign: 0, pending: head(3), ...more })

test.each([
  ["nothing new", "i", stored(10, head(2)), known(), { is: "same" }],
  ["nothing at all, as before", "i", undefined, known({ seq: 0 }), { is: "same" }],
  ["the pending one: its ack was lost", "i", stored(12, head(3)), known(), { is: "pending", seq: 12 }],
  ["another writer's of the same revision and epoch", "i", stored(12, head(3, 5, "other")), known(), { is: "foreign" }],
  ["an older writer's", "i", stored(12, head(3, 4)), known(), { is: "foreign" }],
  ["a later lease's, even where we know of nothing foreign", "i", stored(12, head(3, 6)), known(), { is: "outranking", epoch: 6 }],
  ["a copy that has not got the foreign commit yet", "i", stored(10, head(2)), known({ foreign: 11 }), { is: "behind" }],
  ["the foreign commit that was noticed", "i", stored(11, head(3, 4)), known({ foreign: 11 }), { is: "foreign" }],
  ["a stream of another incarnation", "j", stored(12, head(3)), known(), { is: "lost" }],
  ["a sequence that went back", "i", stored(9, head(2)), known(), { is: "lost" }],
  ["a unit that is gone", "i", undefined, known(), { is: "lost" }],
] as const)("the last commit is %s", (_, incarnation, last, of, expected) => expect(judge(incarnation, last, of)).toEqual(expected))
