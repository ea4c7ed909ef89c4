/** What became of one kind of traffic. */

/** Beyond so many the texts of failures are not kept; they count all the same. */
const KEPT = 1000

export class Tally {
  readonly name: string
  /** Exchanges that were complete and right. */
  done = 0
  /** Connections that ended as the protocol has it (GOAWAY, Close 1001), by how. */
  readonly ends = new Map<string, number>()
  failed = 0
  readonly failures: string[] = []

  constructor(name: string) {
    this.name = name
  }

  ended(how: string): void {
    this.ends.set(how, (this.ends.get(how) ?? 0) + 1)
  }

  fail(error: unknown): void {
    this.failed++
    if (this.failures.length < KEPT) this.failures.push(`${new Date().toISOString()} ${this.name}: ${error instanceof Error ? error.message : String(error)}`)
  }

  /** One line. */
  get text(): string {
    const ends = [...this.ends].map(([how, count]) => `, ${count} × ${how}`).join("")
    return `${this.name}: ${this.done} done${ends}, ${this.failed} failed`
  }
}
