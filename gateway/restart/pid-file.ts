/** Says which process is the gateway, to who supervises it over hot restarts (a service manager's PID file). */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"

/** Written beside and renamed: a reader finds one pid, never none. Throws what writing throws. */
export const writePidFile = (path: string): void => {
  const beside = `${path}.${process.pid}`
  writeFileSync(beside, `${process.pid}\n`)
  renameSync(beside, path)
}

/** Removes it where it names this process: another one may have taken over. */
export const removePidFile = (path: string): void => {
  try {
    if (Number(readFileSync(path, "utf8")) === process.pid) rmSync(path)
  } catch {
    // Somebody else has taken it away.
  }
}
