/** What `headgate get notes` says. */
import type { World } from "./headgate.ts"

export interface Note {
  readonly reason: string
  readonly message: string
  readonly severity: string
  readonly about?: { readonly kind: string; readonly namespace: string; readonly name: string }
  readonly file?: string
  readonly line?: number
  readonly field?: string
}

const isNote = (value: unknown): value is Note => typeof value === "object" && value !== null && "reason" in value && "message" in value

export const notesOf = async (world: World): Promise<readonly Note[]> => {
  const { code, stdout, stderr } = await world.cli(["get", "notes", "-o", "json"])
  if (code !== 0) throw new Error(stderr)
  const items: unknown = JSON.parse(stdout)
  if (!Array.isArray(items)) throw new Error(`not a list: ${stdout}${stderr}`)
  return items.map((item: unknown) => {
    const value = typeof item === "object" && item !== null && "value" in item ? item.value : undefined
    if (!isNote(value)) throw new Error(`not a note: ${JSON.stringify(item)}`)
    return value
  })
}
