/**
 * A part started by `headgate up` holds one end of a pipe as its standard input; when the supervisor is gone, however
 * it ended, the pipe closes and the part ends as on SIGTERM.
 */
export const endWithSupervisor = (): void => {
  if (process.env["HEADGATE_SUPERVISED"] !== "1") return
  process.stdin.on("end", () => process.kill(process.pid, "SIGTERM"))
  process.stdin.on("error", () => process.kill(process.pid, "SIGTERM"))
  process.stdin.resume()
  process.stdin.unref()
}
