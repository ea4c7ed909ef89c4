/** Field blocks (RFC 7541 §3, §6) to field lists. One a connection: the dynamic table lives as long as that. */
import { BAD_VALUE, KIND, BAD_NAME, SENSITIVE, nameKind, valueFault } from "../field-kind.ts"
import type { FieldList } from "../field-list.ts"
import { DynamicTable } from "./dynamic-table.ts"
import { huffmanDecode, mostDecoded } from "./huffman.ts"
import { STATIC_COUNT, staticKinds, staticNames, staticValues } from "./static-table.ts"

/** SETTINGS_HEADER_TABLE_SIZE before anything is said (RFC 9113 §6.5.2). */
export const DEFAULT_TABLE_OCTETS = 4_096

const INVALID = -1
/** Integers have 28 bits and the prefix: nothing here is larger, and sums stay exact. */
const MOST_SHIFT = 21

/** Where Huffman strings are decoded: their octets are in strings before the next one. */
let scratch = Buffer.allocUnsafeSlow(4_096)

export class HpackDecoder {
  readonly table = new DynamicTable(DEFAULT_TABLE_OCTETS)
  #bound = DEFAULT_TABLE_OCTETS
  /** RFC 9113 §4.3.1: the bound became less than the table's size, so that the next block must begin with an update. */
  #isUpdateDue = false
  #octets: Buffer = scratch
  #at = 0
  #end = 0
  /** Of the string read last. */
  #kind = 0

  /** The peer has acknowledged this SETTINGS_HEADER_TABLE_SIZE of ours. */
  setBound(octets: number): void {
    this.#bound = octets
    this.#isUpdateDue = this.table.maximum > octets
  }

  /**
   * Decodes a whole block into `fields`. What goes over its limits is left out but keeps the dynamic table in step.
   * False: COMPRESSION_ERROR, and the connection must end.
   */
  decode(octets: Buffer, start: number, end: number, fields: FieldList): boolean {
    this.#octets = octets
    this.#at = start
    this.#end = end
    let isBeginning = true
    while (this.#at < end) {
      const first = octets[this.#at] ?? 0
      if ((first & 0xe0) === 0x20) {
        // §4.2: at the beginning of a block alone.
        if (!isBeginning || !this.#resize()) return false
        continue
      }
      if (this.#isUpdateDue) return false
      isBeginning = false
      if (!(first >= 0x80 ? this.#indexed(fields) : this.#literal(first, fields))) return false
    }
    return true
  }

  /** §6.3 */
  #resize(): boolean {
    const maximum = this.#integer(0x1f)
    if (maximum === INVALID || maximum > this.#bound) return false
    this.#isUpdateDue = false
    this.table.resize(maximum)
    return true
  }

  /** §6.1 */
  #indexed(fields: FieldList): boolean {
    const index = this.#integer(0x7f)
    if (index <= 0) return false
    if (index <= STATIC_COUNT) {
      fields.add(staticNames[index] ?? "", staticValues[index] ?? "", staticKinds[index])
      return true
    }
    const { table } = this
    if (index - STATIC_COUNT > table.count) return false
    const number = table.newest - (index - STATIC_COUNT) + 1
    fields.add(table.name(number), table.value(number), table.kind(number))
    return true
  }

  /** §6.2 */
  #literal(first: number, fields: FieldList): boolean {
    const isInserted = (first & 0x40) !== 0
    const index = this.#integer(isInserted ? 0x3f : 0x0f)
    if (index === INVALID) return false
    const name = this.#name(index)
    if (name === null) return false
    let kind = this.#kind
    const value = this.#string(false)
    if (value === null) return false
    kind |= this.#kind
    if (isInserted) this.table.insert(name, value, kind)
    else if ((first & 0x10) !== 0) kind |= SENSITIVE
    fields.add(name, value, kind)
    return true
  }

  #name(index: number): string | null {
    if (index === 0) return this.#string(true)
    if (index <= STATIC_COUNT) {
      this.#kind = staticKinds[index] ?? 0
      return staticNames[index] ?? ""
    }
    const { table } = this
    if (index - STATIC_COUNT > table.count) return null
    const number = table.newest - (index - STATIC_COUNT) + 1
    this.#kind = table.kind(number) & (KIND | BAD_NAME)
    return table.name(number)
  }

  /** §5.2. Null: not one. Sets `kind`. */
  #string(isName: boolean): string | null {
    const isHuffman = ((this.#octets[this.#at] ?? 0) & 0x80) !== 0
    const length = this.#integer(0x7f)
    if (length === INVALID || length > this.#end - this.#at) return null
    let octets = this.#octets
    let start = this.#at
    let end = start + length
    this.#at = end
    if (isHuffman) {
      if (scratch.length < mostDecoded(length)) scratch = Buffer.allocUnsafeSlow(mostDecoded(length) * 2)
      end = huffmanDecode(octets, start, end, scratch)
      if (end < 0) return null
      octets = scratch
      start = 0
    }
    const text = octets.toString("latin1", start, end)
    this.#kind = isName ? nameKind(octets, start, end, text) : valueFault(octets, start, end) & BAD_VALUE
    return text
  }

  /** §5.1, with a prefix of as many bits as `mask` has. */
  #integer(mask: number): number {
    if (this.#at >= this.#end) return INVALID
    let value = (this.#octets[this.#at++] ?? 0) & mask
    if (value < mask) return value
    for (let shift = 0; shift <= MOST_SHIFT; shift += 7) {
      if (this.#at >= this.#end) return INVALID
      const octet = this.#octets[this.#at++] ?? 0
      value += (octet & 0x7f) << shift
      if (octet < 0x80) return value
    }
    return INVALID
  }
}
