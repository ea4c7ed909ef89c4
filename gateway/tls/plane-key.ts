/** The data plane's key (bus/seal.ts), from a file only this process and who deploys it can read. */
import { readFileSync, statSync, type Stats } from "node:fs"
import { Redacted } from "../../bus/redacted.ts"
import { PLANE_KEY_BYTES, planeKey, type PlaneKey } from "../../bus/seal.ts"
import type { TableNote } from "../table/compile.ts"

/** 64 hexadecimal digits, a line end after them allowed, or 32 octets. Throws Error that never quotes them. */
export const parsePlaneKey = (content: Buffer): Redacted<Uint8Array> => {
  if (content.length === PLANE_KEY_BYTES) return new Redacted(content)
  const text = content.toString("latin1").trim()
  if (!/^[0-9A-Fa-f]{64}$/.test(text)) throw new Error(`it has neither ${PLANE_KEY_BYTES} octets nor ${PLANE_KEY_BYTES * 2} hexadecimal digits`)
  return new Redacted(Buffer.from(text, "hex"))
}

/** Read when it is first needed: a gateway without HTTPS listeners asks for none. */
export class PlaneKeyFile {
  readonly #path: string | undefined
  #key: PlaneKey | undefined
  /** What is to be said of the file itself. */
  note: TableNote | undefined

  constructor(path: string | undefined) {
    this.#path = path
  }

  /** Throws Error saying why there is none. */
  get(): PlaneKey {
    return (this.#key ??= this.#read())
  }

  /** Reads the file again: it may have been put there, or exchanged. Throws as `get`; then the last good key stays. */
  reread(): PlaneKey {
    return (this.#key = this.#read())
  }

  #read(): PlaneKey {
    const path = this.#path
    if (path === undefined) throw new Error("this gateway was given no key of its data plane (--plane-key)")
    let content: Buffer
    let stat: Stats
    try {
      content = readFileSync(path)
      stat = statSync(path)
    } catch (error) {
      throw new Error(`the data plane's key cannot be read (${error instanceof Error ? error.message : String(error)})`, { cause: error })
    }
    // Of somebody else's file, as a Secret is mounted, the group is how this process reads it.
    const others = stat.uid === process.getuid?.() ? 0o077 : 0o007
    this.note = (stat.mode & others) === 0 ? undefined : exposed(path, stat.mode)
    try {
      return planeKey(parsePlaneKey(content))
    } catch (error) {
      throw new Error(`the data plane's key in ${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
}

const exposed = (path: string, mode: number): TableNote => ({
  severity: "warning",
  reason: "PlaneKeyExposed",
  message: `Others than its owner can read the data plane's key ${path} (mode ${(mode & 0o777).toString(8)}).`,
  fix: `chmod 600 ${path}`,
})
