/** What `headgate get notes -o json` says. */
import { get } from "../../infra/cli/get.ts"
import { manifestText, observe } from "../../infra/cli/observe.ts"
import { connectTo } from "./bus.ts"
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

/** As the command does, but for the process: who waits for a note asks often. */
export const notesOf = async (world: World): Promise<readonly Note[]> => {
  const bus = await connectTo(world.ready())
  try {
    const text = get(await observe(bus), { kind: "notes", name: undefined, namespace: undefined, output: "json" }, manifestText(world.data))
    const items: unknown = JSON.parse(text)
    if (!Array.isArray(items)) throw new Error(`not a list: ${text}`)
    return items.map((item: unknown) => {
      const value = typeof item === "object" && item !== null && "value" in item ? item.value : undefined
      if (!isNote(value)) throw new Error(`not a note: ${JSON.stringify(item)}`)
      return value
    })
  } finally {
    await bus.close()
  }
}
