/** The keys of data planes, one file each: `<folder>/<plane>.key`, 64 hexadecimal digits. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Redacted } from "../../../bus/redacted.ts"
import { type PlaneKey, planeKey } from "../../../bus/seal.ts"

/** A plane's name becomes a file's. */
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}$/

/** The key, or why there is none, as a sentence. The file is read anew each time: it may come later than who needs it. */
export type PlaneKeyOf = (plane: string) => PlaneKey | string

/** `folder` undefined: no plane has a key. */
export const planeKeys = (folder: string | undefined): PlaneKeyOf => (plane) => {
  if (folder === undefined) return "The adapter was given no folder of data planes' keys (--plane-keys)."
  if (!NAME.test(plane)) return "The data plane's name cannot be that of a file."
  try {
    const text = readFileSync(join(folder, `${plane}.key`), "utf8").trim()
    return /^[0-9a-fA-F]{64}$/.test(text) ? planeKey(new Redacted(Buffer.from(text, "hex"))) : `The key of data plane ${plane} is not 64 hexadecimal digits.`
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT"
    return isMissing ? `There is no key of data plane ${plane}.` : `The key of data plane ${plane} cannot be read.`
  }
}
