/**
 * Hints: subjects of core NATS, not stored. Who missed one asks again by ASK_PROGRESS, and is answered at once by all
 * who have something to say.
 */
export const ASK_PROGRESS = "ask.progress"

/** How far a function has answered what it reads (functions/progress.ts). */
export const progressSubject = (fn: string): string => `progress.${fn}`

/** Body, JSON: all that the outside held when this process of the adapter began is in RESOURCES, up to this sequence. */
export interface Synced {
  readonly resources: number
}
export const syncedSubject = (adapter: string): string => `synced.${adapter}`

/** Undefined for what is none. */
export const readSynced = (data: string): Synced | undefined => {
  try {
    const value: unknown = JSON.parse(data)
    return typeof value === "object" && value !== null && "resources" in value && typeof value.resources === "number" ? { resources: value.resources } : undefined
  } catch {
    return undefined
  }
}
