/** Header edits of filters on one head (Gateway API HTTPHeaderFilter). Reused: begin() forgets what was before. */
import type { HeaderEdits } from "../table/table.ts"
import type { Head } from "./head.ts"

/** Framing and connection options are the proxy's: an edit of them would break the message. Said by `validate` too. */
export const PROTECTED: ReadonlySet<string> = new Set(["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"])

export class Edits implements HeaderEdits {
  /** Value set for Host; undefined: not touched. */
  host: string | undefined = undefined
  #head: Head | undefined
  #removed: boolean[] = []
  #names: string[] = []
  #lines: string[] = []
  #taken: string[] = []

  begin(head: Head): this {
    this.#head = head
    this.host = undefined
    this.#removed.length = this.#names.length = this.#lines.length = this.#taken.length = 0
    return this
  }

  set(name: string, value: string): void {
    const lower = name.toLowerCase()
    if (PROTECTED.has(lower)) return
    if (lower === "host") {
      this.host = value
      return
    }
    this.#drop(lower)
    this.#append(lower, name, value)
  }

  add(name: string, value: string): void {
    const lower = name.toLowerCase()
    if (PROTECTED.has(lower)) return
    if (lower === "host") this.host = value
    else this.#append(lower, name, value)
  }

  remove(name: string): void {
    const lower = name.toLowerCase()
    // A request must have a Host.
    if (PROTECTED.has(lower) || lower === "host") return
    this.#drop(lower)
    this.#taken.push(lower)
  }

  isRemoved(field: number): boolean {
    return this.#removed[field] === true
  }

  /** An edit gives this field a value or takes it away: the proxy adds none of its own. `name` is lower case. */
  gives(name: string): boolean {
    return this.#names.includes(name) || this.#taken.includes(name)
  }

  /** The added lines, each with CRLF. */
  get text(): string {
    return this.#lines.join("")
  }

  /** The added fields, lower-case names, in the order of their values. */
  get names(): readonly string[] {
    return this.#names
  }

  value(added: number): string {
    return (this.#lines[added] ?? "").slice((this.#names[added] ?? "").length + 2, -2)
  }

  #append(lower: string, name: string, value: string): void {
    this.#names.push(lower)
    this.#lines.push(`${name}: ${value}\r\n`)
  }

  #drop(lower: string): void {
    const head = this.#head
    if (head === undefined) return
    for (let field = 0; field < head.count; field++) if (head.isNamed(field, lower)) this.#removed[field] = true
    for (let i = this.#names.length - 1; i >= 0; i--) {
      if (this.#names[i] !== lower) continue
      this.#names.splice(i, 1)
      this.#lines.splice(i, 1)
    }
  }
}
