/** What of the process's limits each of several workers keeps to. */
import type { Settings } from "../settings.ts"

/** Of these all workers together have what is asked for: each its part, rounded up. 0 stays 0: no limit, or none at all. */
const divided = ["maxConnections", "connectionsPerClient", "endpointConnections", "endpointIdle", "keptBytes", "mirrorsInFlight"] as const

/** Limits of a message, a connection or a request, and time-outs, are the same everywhere; so are shares (retryPercent). */
export const shareOf = (settings: Settings, workers: number): Settings => {
  const share: Record<string, number> = { retryRate: settings.retryRate / workers }
  for (const name of divided) share[name] = Math.ceil(settings[name] / workers)
  return { ...settings, ...share }
}
