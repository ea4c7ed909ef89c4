/** What the process has to say about itself: one JSON line each on stdout, between those of the access log. */

export type Level = "info" | "warning" | "error"
export type Log = (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void

export const stdoutLog: Log = (level, message, fields) => {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), type: "log", level, message, ...fields })}\n`)
}
