/** What the apply half has to say about what it could not do: said until it is done. */
import type { Note } from "../../../../bus/kinds/config.ts"

export interface Notes {
  /** id unique among notes of the adapter: `apply/…`; undefined: over. Said again unchanged, nothing is published. */
  say(id: string, note: Omit<Note, "schema"> | undefined): void
}
