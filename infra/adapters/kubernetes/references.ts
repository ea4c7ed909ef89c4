/** Which objects name which, both ways. */
export class References {
  readonly #targets = new Map<string, readonly string[]>()
  readonly #sources = new Map<string, Set<string>>()

  /** All that `source` names from now on; none: []. Answers what it names newly or no more. */
  set(source: string, targets: readonly string[]): readonly string[] {
    const before = this.#targets.get(source) ?? NOTHING
    if (before.length === 0 && targets.length === 0) return NOTHING
    const now = new Set(targets)
    const was = new Set(before)
    const lost = [...was].filter((target) => !now.has(target))
    const gained = [...now].filter((target) => !was.has(target))
    for (const target of lost) this.#forget(target, source)
    for (const target of gained) this.#sources.set(target, (this.#sources.get(target) ?? new Set()).add(source))
    if (now.size === 0) this.#targets.delete(source)
    else this.#targets.set(source, [...now])
    return [...lost, ...gained]
  }

  targetsOf(source: string): readonly string[] {
    return this.#targets.get(source) ?? NOTHING
  }

  sourcesOf(target: string): ReadonlySet<string> {
    return this.#sources.get(target) ?? NOBODY
  }

  isNamed(target: string): boolean {
    return this.#sources.has(target)
  }

  #forget(target: string, source: string): void {
    const sources = this.#sources.get(target)
    sources?.delete(source)
    if (sources?.size === 0) this.#sources.delete(target)
  }
}

const NOTHING: readonly string[] = []
const NOBODY: ReadonlySet<string> = new Set()
