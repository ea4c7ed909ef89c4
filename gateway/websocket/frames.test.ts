import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { runs } from "../../test/fixtures/runs.ts"
import { FrameReader, goingAway } from "./frames.ts"

interface Frame {
  readonly opcode: number
  readonly isMasked: boolean
  readonly size: number
}

/** RFC 6455 §5.2, of zeros and ones that look like heads of frames. */
const written = ({ opcode, isMasked, size }: Frame): Buffer => {
  const length = size < 126 ? [size] : size < 65_536 ? [126, size >> 8, size & 255] : [127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255]
  const head = Buffer.from([0x80 | opcode, ...length])
  if (isMasked) head[1] = (head[1] ?? 0) | 0x80
  return Buffer.concat([head, ...(isMasked ? [Buffer.from([0x88, 0x7f, 0xff, 0x00])] : []), Buffer.alloc(size, 0x88)])
}

const frame = fc.record({
  opcode: fc.constantFrom(0, 1, 2, 9, 10),
  isMasked: fc.boolean(),
  size: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000)),
})

describe("boundaries of frames", () => {
  test("are known however the octets come", () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1 }), (frames, steps) => {
        const wire = frames.map(written)
        const ends = new Set<number>([0])
        let total = 0
        for (const one of wire) ends.add((total += one.length))
        const all = Buffer.concat(wire)
        const reader = new FrameReader()
        for (let at = 0, i = 0; at < all.length; i++) {
          const to = Math.min(all.length, at + (steps[i % steps.length] ?? 1))
          reader.read(all.subarray(at), to - at)
          at = to
          expect(reader.isBetween).toBe(ends.has(at))
        }
        expect(reader.hasClosed).toBe(false)
      }),
      { numRuns: runs(200) },
    )
  })

  test("octet by octet", () => {
    const reader = new FrameReader()
    for (const size of [0, 1, 125, 126, 65_536]) {
      const one = written({ opcode: 1, isMasked: size % 2 === 0, size })
      one.forEach((octet, i) => {
        reader.read(Uint8Array.of(octet), 1)
        expect(reader.isBetween).toBe(i === one.length - 1)
      })
    }
  })

  test("a Close is noticed when it begins", () => {
    const reader = new FrameReader()
    reader.read(Buffer.concat([written({ opcode: 2, isMasked: true, size: 5 }), Buffer.from([0x88])]), 12)
    expect([reader.isBetween, reader.hasClosed]).toEqual([false, true])
  })

  test("a length beyond all numbers is never over", () => {
    const reader = new FrameReader()
    reader.read(Buffer.from([0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]), 10)
    for (let i = 0; i < 10; i++) reader.read(Buffer.alloc(65_536), 65_536)
    expect(reader.isBetween).toBe(false)
  })
})

test("Close 1001, masked for a backend with another key each time", () => {
  expect([...goingAway("client")]).toEqual([0x88, 2, 0x03, 0xe9])
  const keys = new Set<string>()
  for (let i = 0; i < 50; i++) {
    const own = goingAway("backend")
    const at = (index: number): number => own[index] ?? 0
    expect([own.length, at(0), at(1), at(6) ^ at(2), at(7) ^ at(3)]).toEqual([8, 0x88, 0x82, 0x03, 0xe9])
    keys.add(own.toString("hex", 2, 6))
  }
  expect(keys.size).toBeGreaterThan(45)
})
