/** Tracing for adapters and functions: the SDK is loaded only where the environment asks for traces. */
import { targetsOf } from "./targets.ts"
import type { SdkOptions, SdkTracing } from "./sdk.ts"

/** Undefined: off. Rejects with TypeError for a setting that cannot be. */
export const tracingOf = async (env: Readonly<Record<string, string | undefined>>, options: Omit<SdkOptions, "targets">): Promise<SdkTracing | undefined> => {
  const targets = targetsOf(env)
  if (targets === undefined) return undefined
  const { startTracing } = await import("./sdk.ts")
  return startTracing({ ...options, targets })
}
