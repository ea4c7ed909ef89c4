/** Longer than a gateway drains, ms. */
const LAST_RESORT = 30_000

/**
 * A part started by `headgate up` holds one end of a pipe as its standard input; when the supervisor is gone, however
 * it ended, the pipe closes and the part ends as on SIGTERM.
 */
export const endWithSupervisor = (): void => {
  if (process.env["HEADGATE_SUPERVISED"] !== "1") return
  const end = (): void => {
    process.kill(process.pid, "SIGTERM")
    // Nobody is left who would end one that hangs.
    setTimeout(() => process.exit(1), LAST_RESORT).unref()
  }
  process.stdin.on("end", end)
  process.stdin.on("error", end)
  process.stdin.resume()
  process.stdin.unref()
}

/**
 * A command started by npm or npx ends as on SIGTERM when those are gone: the shell they put between dies of a signal
 * and passes none on.
 */
export const endWithNpm = (): void => {
  if (process.env["npm_lifecycle_event"] === undefined || process.env["HEADGATE_SUPERVISED"] === "1") return
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    process.kill(process.pid, "SIGTERM")
  }, 500).unref()
}
