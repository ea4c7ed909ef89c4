/** Credentials are looked at again and again: whichever server comes first renews what has to be, and every server takes up the newest. */
import { hash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { delay } from "../../../bus/unit/clock.ts"
import type { Clock } from "../../../bus/unit/unit.ts"
import type { TlsFiles } from "./configuration.ts"
import type { InstallationCredentials, ServerTls } from "./credentials.ts"

export interface RenewalOptions {
  /** What there is, renewed where it has to be. */
  ensure(now: number): Promise<InstallationCredentials>
  /** What the server runs with. */
  readonly credentials: InstallationCredentials
  readonly clock: Clock
  readonly signal: AbortSignal
  onNew(credentials: InstallationCredentials): void
  onTrouble(error: unknown): void
}

/** ms; a certificate is renewed a month before it ends. */
const EVERY = 3_600_000

/** At once, since what was mounted may be old, and then every hour or so. Resolves after the signal. */
export const keepRenewed = async ({ ensure, credentials, clock, signal, onNew, onTrouble }: RenewalOptions): Promise<void> => {
  for (let running = textOf(credentials); !signal.aborted; await delay(clock, EVERY * (0.5 + clock.random()), signal)) {
    try {
      const newest = await ensure(clock.wall())
      if (textOf(newest) === running) continue
      running = textOf(newest)
      onNew(newest)
    } catch (error) {
      onTrouble(error)
    }
  }
}

const textOf = ({ roles, routes, tls }: InstallationCredentials): string => JSON.stringify([[...roles], routes, tls])

/** For nats-server, which reads files; a name for each content, since one it runs with must not change under it. */
export const writeTls = (folder: string, { certificate, key, authority }: ServerTls): TlsFiles => {
  const write = (kind: string, content: string): string => {
    const path = join(folder, `${kind}-${hash("sha256", content).slice(0, 12)}.pem`)
    writeFileSync(path, content, { mode: 0o600 })
    return path
  }
  return { certificate: write("certificate", certificate), key: write("key", key), authority: write("authority", authority) }
}
