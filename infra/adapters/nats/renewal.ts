/** Certificates are looked at again and again: who renews them is whichever server comes first, and every server shows the newest. */
import { hash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { delay } from "../../../bus/unit/clock.ts"
import type { Clock } from "../../../bus/unit/unit.ts"
import type { TlsFiles } from "./configuration.ts"
import type { ServerTls } from "./credentials.ts"

export interface RenewalOptions {
  /** What there is, renewed where it has to be. */
  ensure(now: number): Promise<ServerTls | undefined>
  /** What the server runs with. */
  readonly tls: ServerTls | undefined
  readonly clock: Clock
  readonly signal: AbortSignal
  onRenewed(tls: ServerTls): void
  onTrouble(error: unknown): void
}

/** ms; a certificate is renewed a month before it ends. */
const EVERY = 3_600_000

/** At once, since what was mounted may be old, and then every hour or so. Resolves after the signal. */
export const keepRenewed = async ({ ensure, tls, clock, signal, onRenewed, onTrouble }: RenewalOptions): Promise<void> => {
  for (let running = tls; !signal.aborted; await delay(clock, EVERY * (0.5 + clock.random()), signal)) {
    try {
      const newest = await ensure(clock.wall())
      if (newest === undefined || (newest.certificate === running?.certificate && newest.authority === running.authority)) continue
      running = newest
      onRenewed(newest)
    } catch (error) {
      onTrouble(error)
    }
  }
}

/** For nats-server, which reads files; a name for each content, since one it runs with must not change under it. */
export const writeTls = (folder: string, { certificate, key, authority }: ServerTls): TlsFiles => {
  const write = (kind: string, content: string): string => {
    const path = join(folder, `${kind}-${hash("sha256", content).slice(0, 12)}.pem`)
    writeFileSync(path, content, { mode: 0o600 })
    return path
  }
  return { certificate: write("certificate", certificate), key: write("key", key), authority: write("authority", authority) }
}
