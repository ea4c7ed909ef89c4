/** Tracing for adapters and functions, loaded only where the environment asks for traces. */
import { targetsOf } from "./targets.ts"
import type { RecordedTracing, RecordingOptions } from "./recording.ts"

/** Undefined: off. Rejects with TypeError for a setting that cannot be. */
export const tracingOf = async (env: Readonly<Record<string, string | undefined>>, options: Omit<RecordingOptions, "targets">): Promise<RecordedTracing | undefined> => {
  const targets = targetsOf(env)
  return targets && (await import("./recording.ts")).startTracing({ ...options, targets })
}
