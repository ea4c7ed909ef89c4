/** Programs people have, as clients over TLS. What each of them was shown is told by fingerprint or by pinned key. */
import { execFile, execFileSync } from "node:child_process"
import { createHash, X509Certificate } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Issued } from "../fixtures/authority.ts"

/** The first of these programs that is here and says its version; else why none is. */
export const found = (...programs: readonly string[]): { readonly program: string } | { readonly reason: string } => {
  const reasons = programs.map((program) => {
    try {
      execFileSync(program, ["--version"], { stdio: "ignore" })
      return undefined
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  })
  const program = programs[reasons.indexOf(undefined)]
  return program === undefined ? { reason: reasons.join("; ") } : { program }
}

export interface Ended {
  /** Of the process; -1 where it was killed. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Ends it after 30 s. Not synchronous: what the client asks is answered by this process. */
const run = (program: string, args: readonly string[], input = ""): Promise<Ended> =>
  new Promise((resolve) => {
    const child = execFile(program, args, { timeout: 30_000, killSignal: "SIGKILL", maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr })
    })
    child.stdin?.end(input)
  })

export interface Site {
  readonly port: number
  readonly host: string
  /** Path of what is trusted, PEM. */
  readonly caFile: string
}

/** SHA-256 of the leaf's SubjectPublicKeyInfo, base64: RFC 7469 §2.4. */
export const pinOf = ({ chain }: Issued): string => createHash("sha256").update(new X509Certificate(chain).publicKey.export({ format: "der", type: "spki" })).digest("base64")

/** `openssl s_client`, which refuses what it cannot verify, and one request. `more`: its own options. */
export const openssl = async ({ port, host, caFile }: Site, more: readonly string[] = []): Promise<Ended & { readonly fingerprint256: string | undefined; readonly status: number }> => {
  const args = ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", host, "-CAfile", caFile, "-no-CApath", "-verify_return_error", "-verify_hostname", host, "-ign_eof", ...more]
  const ended = await run("openssl", args, `GET / HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`)
  const leaf = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(ended.stdout)?.[0]
  return { ...ended, fingerprint256: leaf === undefined ? undefined : new X509Certificate(leaf).fingerprint256, status: Number(/HTTP\/1\.1 (\d{3})/.exec(ended.stdout)?.[1] ?? 0) }
}

/** curl; its last line of stdout is `status version-of-HTTP`. Exit status 60: not trusted, 90: another key than the pinned one. */
export const curl = ({ port, host, caFile }: Site, more: readonly string[] = []): Promise<Ended> =>
  run("curl", ["--disable", "--silent", "--show-error", "--noproxy", "*", "--cacert", caFile, "--resolve", `${host}:${port}:127.0.0.1`, "--write-out", "\n%{http_code} %{http_version}", ...more, `https://${host}:${port}/`])

/**
 * A browser without a window. It trusts a certificate only for its key: `pin`. Names below `localhost` it resolves by
 * itself; it speaks to nobody else, and leaves nothing behind.
 */
export const chromium = async (program: string, { port, host }: Site, pin: string): Promise<Ended> => {
  const folder = mkdtempSync(join(tmpdir(), "headgate-chromium-"))
  try {
    return await run(program, [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${folder}`,
      "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE localhost",
      `--ignore-certificate-errors-spki-list=${pin}`, "--dump-dom", `https://${host}:${port}/`,
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}
