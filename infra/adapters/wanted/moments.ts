/** Says when a moment that somebody wants has come: at once where it is past, never before, and no longer when nobody wants it. */

/** Looked at again this often: the machine's clock may be set, and the machine may sleep. Also below setTimeout's 2^31 ms. */
const LONGEST = 60_000

/** RFC 3339 with whole seconds, UTC, as in Wanted. */
export const isMoment = (text: string): boolean => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) && !Number.isNaN(Date.parse(text))

export class Moments {
  readonly #say: (moment: string, hasCome: boolean) => void
  readonly #now: () => number
  #waiting: readonly string[] = []
  readonly #come = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  /** `say` is called for changes, the newest of several moments first: who hears of an old one has heard of every later one. */
  constructor(say: (moment: string, hasCome: boolean) => void, now: () => number = Date.now) {
    this.#say = say
    this.#now = now
  }

  /** All moments wanted from now on; each `isMoment`. */
  want(moments: ReadonlySet<string>): void {
    for (const moment of this.#come) {
      if (moments.has(moment)) continue
      this.#come.delete(moment)
      this.#say(moment, false)
    }
    this.#waiting = [...moments].filter((moment) => !this.#come.has(moment)).sort((a, b) => Date.parse(b) - Date.parse(a))
    this.#look()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #look(): void {
    clearTimeout(this.#timer)
    const now = this.#now()
    const isFuture = (moment: string): boolean => Date.parse(moment) > now
    const come = this.#waiting.filter((moment) => !isFuture(moment))
    this.#waiting = this.#waiting.filter(isFuture)
    for (const moment of come) {
      this.#come.add(moment)
      this.#say(moment, true)
    }
    const next = this.#waiting.at(-1)
    if (next !== undefined) this.#timer = setTimeout(() => this.#look(), Math.min(Date.parse(next) - now, LONGEST))
  }
}
