/** The key with which private keys are sealed for a data plane (bus/seal.ts): one an installation, made once. */
import { randomBytes } from "node:crypto"
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { PLANE_KEY_BYTES } from "../../bus/seal.ts"

export interface PlaneKeyFile {
  /** For the adapter: one file a data plane. */
  readonly folder: string
  /** For the gateway. */
  readonly file: string
}

/** Both readable by their user alone. `data`: held by this process, so that nobody makes another meanwhile. */
export const ensurePlaneKey = (data: string, plane: string): PlaneKeyFile => {
  const folder = join(data, "keys")
  const file = join(folder, `${plane}.key`)
  if (existsSync(file)) return { folder, file }
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  // Half a key would be kept for good.
  writeFileSync(`${file}.new`, `${randomBytes(PLANE_KEY_BYTES).toString("hex")}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
  return { folder, file }
}
