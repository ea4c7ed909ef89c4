/** The users of the nats-server that `up` starts: random passwords, made once and kept in the data folder, readable by its user alone. */
import { randomBytes } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { readCredentials } from "../../bus/access.ts"
import { CONTROL, credentialsOf, renderRoles, roleNames } from "../../bus/server.ts"

export const credentialsFile = (data: string, role: string): string => join(data, "credentials", role)

/**
 * Writes nats-server's configuration and a file of credentials for each role, keeping the passwords there are; gives
 * the path of the configuration. A store from before there were users goes to the account that has the streams now.
 */
export const prepareRoles = (data: string, storeDir: string, planes: readonly string[]): string => {
  mkdirSync(join(data, "credentials"), { recursive: true, mode: 0o700 })
  chmodSync(join(data, "credentials"), 0o700)
  const passwords = new Map<string, string>()
  for (const role of roleNames(planes)) {
    const path = credentialsFile(data, role)
    const password = existing(path) ?? randomBytes(32).toString("base64url")
    passwords.set(role, password)
    writeForOwner(path, `${JSON.stringify(credentialsOf(role, password))}\n`)
  }
  const config = join(data, "nats.conf")
  writeForOwner(config, renderRoles(planes, passwords))
  const [before, now] = [join(storeDir, "jetstream", "$G"), join(storeDir, "jetstream", CONTROL)]
  if (existsSync(before) && !existsSync(now)) renameSync(before, now)
  return config
}

/** Of a file that is missing or no longer whole: none, and a new one is made. */
const existing = (path: string): string | undefined => {
  try {
    return readCredentials(path).password
  } catch {
    return undefined
  }
}

/** Whole at every moment; left alone where it says so already. */
const writeForOwner = (path: string, text: string): void => {
  if (existsSync(path) && readFileSync(path, "utf8") === text) return chmodSync(path, 0o600)
  writeFileSync(`${path}.new`, text, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}
