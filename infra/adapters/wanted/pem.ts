/** PEM (RFC 7468): text outside of blocks is passed over, rubbish in a block is not. Faults are told without quoting. */
import { Redacted } from "../../../bus/redacted.ts"

export interface PemBlock {
  readonly label: string
  /** Empty where `isEncrypted`. */
  readonly der: Redacted<Buffer>
  /** By RFC 1421 headers, as OpenSSL's old formats have them. */
  readonly isEncrypted: boolean
}

export type PemRead = { readonly ok: true; readonly blocks: readonly PemBlock[] } | { readonly ok: false; /** `block 2 is not closed` */ readonly fault: string }

const BEGIN = /^-----BEGIN ([A-Z0-9 ]{1,60})-----$/
const END = /^-----END ([A-Z0-9 ]{1,60})-----$/
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/
const HEADER = /^[A-Za-z0-9-]+: /

interface Open {
  readonly label: string
  readonly base64: string[]
  isEncrypted: boolean
}

/** Blocks in their order. */
export const pemBlocks = (text: string): PemRead => {
  const blocks: PemBlock[] = []
  let open: Open | undefined
  const fault = (what: string): PemRead => ({ ok: false, fault: `block ${blocks.length + 1} ${what}` })
  for (const line of text.split("\n").map((each) => each.trim())) {
    const wrong = open === undefined ? wrongOutside(line) : wrongInside(line, open)
    if (wrong !== undefined) return fault(wrong)
    if (open === undefined) open = openedBy(line)
    else if (END.test(line)) {
      blocks.push({ label: open.label, der: new Redacted(open.isEncrypted ? Buffer.alloc(0) : derOf(open)), isEncrypted: open.isEncrypted })
      open = undefined
    } else if (BASE64.test(line)) open.base64.push(line)
    else if (line.startsWith("Proc-Type: 4,ENCRYPTED")) open.isEncrypted = true
  }
  return open === undefined ? { ok: true, blocks } : fault("is not closed")
}

const openedBy = (line: string): Open | undefined => {
  const [, label] = BEGIN.exec(line) ?? []
  return label === undefined ? undefined : { label, base64: [], isEncrypted: false }
}

const derOf = ({ base64 }: Open): Buffer => Buffer.from(base64.join(""), "base64")

const wrongOutside = (line: string): string | undefined => {
  if (line.startsWith("-----END")) return "has an END line and no BEGIN line"
  return line.startsWith("-----BEGIN") && !BEGIN.test(line) ? "has a BEGIN line that is damaged" : undefined
}

const wrongInside = (line: string, open: Open): string | undefined => {
  const [, end] = END.exec(line) ?? []
  if (end === undefined) {
    if (line === "" || BASE64.test(line) || (HEADER.test(line) && open.base64.length === 0)) return undefined
    return line.startsWith("-----") ? "is not closed before the next one begins" : "holds what is not base64"
  }
  if (end !== open.label) return "ends as another kind than it begins"
  const der = derOf(open)
  if (der.length === 0) return "is empty"
  // What is decoded leniently must give the same text again, or something was lost.
  return der.toString("base64") === open.base64.join("") ? undefined : "is not well-formed base64"
}
