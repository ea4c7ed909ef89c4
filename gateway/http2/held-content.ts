/** Content that cannot go on yet, as one run of octets, whatever the pieces it came in. Who gives it bounds it. */
const LEAST_OCTETS = 1_024
const EMPTY = Buffer.alloc(0)

export class HeldContent {
  octets: Buffer = EMPTY
  length = 0

  /** Copies. */
  add(from: Buffer, start: number, end: number): void {
    const needed = this.length + end - start
    if (needed > this.octets.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(LEAST_OCTETS, needed + this.length))
      this.octets.copy(larger, 0, 0, this.length)
      this.octets = larger
    }
    from.copy(this.octets, this.length, start, end)
    this.length = needed
  }

  clear(): void {
    this.octets = EMPTY
    this.length = 0
  }
}
