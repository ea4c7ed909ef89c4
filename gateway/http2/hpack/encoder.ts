/** Field lists to field blocks (RFC 7541). One a connection, with a table as large as the peer allows and we care for. */
import { SENSITIVE } from "../field-kind.ts"
import { FIELD_OVERHEAD, type FieldList } from "../field-list.ts"
import { DEFAULT_TABLE_OCTETS } from "./decoder.ts"
import { DynamicTable } from "./dynamic-table.ts"
import { huffmanEncode, huffmanLength } from "./huffman.ts"
import { STATIC_COUNT, staticIndex, staticNames, staticValues } from "./static-table.ts"

const INDEXED = 0x80
const WITH_INDEXING = 0x40
const SIZE_UPDATE = 0x20
const NEVER_INDEXED = 0x10
const WITHOUT_INDEXING = 0x00

/** Values that seldom come twice: in the table they would push out those that do. */
const volatileNames: ReadonlySet<string> = new Set([
  ":path", "age", "content-length", "content-range", "etag", "expires", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified",
  "location", "range", "set-cookie", "traceparent", "tracestate", "x-forwarded-for", "x-request-id",
])

/** A shorter cookie could be guessed by who sees sizes and adds fields of its own (RFC 7541 §7.1.3). */
const SHORT_COOKIE = 20
/** How many entries of one name are compared. */
const MOST_COMPARED = 8

export class HpackEncoder {
  /** The block encoded last, from 0; overwritten by the next. */
  octets: Buffer = Buffer.allocUnsafeSlow(512)
  readonly table = new DynamicTable(DEFAULT_TABLE_OCTETS)
  /** Octets of dynamic table used at most, whatever the peer offers. */
  readonly #most: number
  /** The smallest maximum since the last block (§4.2); -1: none was set. */
  #smallest = -1
  #maximum = DEFAULT_TABLE_OCTETS
  /** Number of the newest entry of a name; `#sameName` leads on to the one before it. */
  readonly #byName = new Map<string, number>()
  #sameName: number[] = []
  #at = 0

  constructor(most = DEFAULT_TABLE_OCTETS) {
    this.#most = most
    if (most < DEFAULT_TABLE_OCTETS) this.setBound(DEFAULT_TABLE_OCTETS)
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE, to be acknowledged before the next block. */
  setBound(octets: number): void {
    const maximum = Math.min(octets, this.#most)
    if (maximum === this.#maximum && this.#smallest < 0) return
    this.#smallest = this.#smallest < 0 ? maximum : Math.min(this.#smallest, maximum)
    this.#maximum = maximum
  }

  /** Encodes `fields` into `octets` (afterwards another buffer, if it had to grow); returns how many. */
  encode(fields: FieldList): number {
    this.#at = 0
    if (this.#smallest >= 0) {
      if (this.#smallest < this.#maximum) this.#resize(this.#smallest)
      this.#resize(this.#maximum)
      this.#smallest = -1
    }
    for (let field = 0; field < fields.count; field++) this.#field(fields.name(field), fields.value(field), (fields.kind(field) & SENSITIVE) !== 0)
    return this.#at
  }

  #resize(maximum: number): void {
    this.#room(0)
    this.#integer(SIZE_UPDATE, 0x1f, maximum)
    this.table.resize(maximum)
    this.#forgetEvicted()
  }

  #field(name: string, value: string, isMarked: boolean): void {
    this.#room(name.length + value.length)
    let nameIndex = staticIndex.get(name) ?? 0
    if (isMarked || isSensitive(name, value)) {
      this.#literal(NEVER_INDEXED, 0x0f, nameIndex, name, value)
      return
    }
    for (let index = nameIndex; index > 0 && staticNames[index] === name; index++) {
      if (staticValues[index] === value) return this.#integer(INDEXED, 0x7f, index)
    }
    if (volatileNames.has(name)) return this.#literal(WITHOUT_INDEXING, 0x0f, nameIndex, name, value)
    const { table } = this
    let number = this.#byName.get(name) ?? 0
    if (number >= table.oldest && number > 0) {
      if (nameIndex === 0) nameIndex = STATIC_COUNT + table.newest - number + 1
      for (let compared = 0; compared < MOST_COMPARED && number >= table.oldest && number > 0; compared++) {
        if (table.value(number) === value) return this.#integer(INDEXED, 0x7f, STATIC_COUNT + table.newest - number + 1)
        number = this.#sameName[number % this.#sameName.length] ?? 0
      }
    }
    // One that takes half of the table costs more than it saves.
    if (2 * (name.length + value.length + FIELD_OVERHEAD) > table.maximum) return this.#literal(WITHOUT_INDEXING, 0x0f, nameIndex, name, value)
    this.#literal(WITH_INDEXING, 0x3f, nameIndex, name, value)
    this.#insert(copyOf(name), copyOf(value))
  }

  #insert(name: string, value: string): void {
    const { table } = this
    table.insert(name, value, 0)
    const slots = Math.max(1, Math.floor(table.maximum / FIELD_OVERHEAD))
    if (this.#sameName.length !== slots) this.#sameName = Array<number>(slots).fill(0)
    this.#sameName[table.newest % slots] = this.#byName.get(name) ?? 0
    this.#byName.set(name, table.newest)
    // Names that have left stay in the map until there are as many of them as the table can hold.
    if (this.#byName.size > 2 * slots) this.#forgetEvicted()
  }

  #forgetEvicted(): void {
    for (const [name, number] of this.#byName) if (number < this.table.oldest) this.#byName.delete(name)
  }

  #literal(form: number, mask: number, nameIndex: number, name: string, value: string): void {
    this.#integer(form, mask, nameIndex)
    if (nameIndex === 0) this.#string(name)
    this.#string(value)
  }

  /** §5.2 */
  #string(text: string): void {
    const length = huffmanLength(text)
    if (length < text.length) {
      this.#integer(0x80, 0x7f, length)
      this.#at = huffmanEncode(text, this.octets, this.#at)
      return
    }
    this.#integer(0, 0x7f, text.length)
    this.#at += this.octets.write(text, this.#at, "latin1")
  }

  /** §5.1 */
  #integer(form: number, mask: number, value: number): void {
    if (value < mask) {
      this.octets[this.#at++] = form | value
      return
    }
    this.octets[this.#at++] = form | mask
    let rest = value - mask
    while (rest >= 0x80) {
      this.octets[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.octets[this.#at++] = rest
  }

  /** For a field of so many octets, however it is written: three integers of at most 6 octets each. */
  #room(octets: number): void {
    const needed = this.#at + octets + 18
    if (needed <= this.octets.length) return
    const larger = Buffer.allocUnsafeSlow(2 * needed)
    this.octets.copy(larger, 0, 0, this.#at)
    this.octets = larger
  }
}

/** What was cut out of a longer text keeps all of that: a table would keep the heads its entries came from. */
const copyOf = (text: string): string => Buffer.from(text, "latin1").toString("latin1")

const isSensitive = (name: string, value: string): boolean => {
  switch (name) {
    case "authorization":
    case "proxy-authorization":
      return true
    case "cookie":
      return value.length < SHORT_COOKIE
    default:
      return false
  }
}
