/** Moments as people name them on a command line. */
import type { Moment } from "../../bus/history/state.ts"

/** What is no moment; a sentence. */
export class MomentError extends Error {
  override readonly name = "MomentError"
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const FORMS = "a time (2026-11-21T14:03:05Z, 14:03 or 14:03:05.123 today in local time), a while ago (5m, 5m ago, 30s, 2h, 1d), a sequence of RESOURCES as in `headgate events` (1234), or now"

/** Throws MomentError. `now`: ms since 1970. A time without a zone is local. */
export const parseMoment = (text: string, now: number): Moment => {
  const word = text.trim()
  if (word === "now") return "now"
  if (/^\d{1,15}$/.test(word)) return { seq: Number(word) }
  const ago = /^-?(\d+(?:\.\d+)?)(ms|s|m|h|d)(?:\s+ago)?$/.exec(word)
  if (ago !== null) return { time: Math.floor(now - Number(ago[1]) * (UNITS[ago[2] ?? ""] ?? 0)) }
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?$/.exec(word)
  if (clock !== null) {
    const [hours, minutes, seconds] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)]
    if (hours > 23 || minutes > 59 || seconds > 59) throw new MomentError(`${word} is no time of day`)
    return { time: new Date(now).setHours(hours, minutes, seconds, Number((clock[4] ?? "0").padEnd(3, "0"))) }
  }
  const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(word) ? Date.parse(word) : Number.NaN
  if (Number.isNaN(time)) throw new MomentError(`"${text}" is no moment: write ${FORMS}`)
  return { time }
}

/** A command line on which `-5m` is no flag and `5m ago` may be two words. */
export const withMoments = (argv: readonly string[]): readonly string[] =>
  argv.flatMap((word, i) => (/^-\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(word) ? [word.slice(1)] : word === "ago" && /^-?\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(argv[i - 1] ?? "") ? [] : [word]))

/** `2026-11-21T14:03:05.123+01:00`: in the zone of this machine, which it names. */
export const timeText = (time: number): string => {
  const date = new Date(time)
  const minutes = -date.getTimezoneOffset()
  const two = (value: number): string => String(Math.trunc(Math.abs(value))).padStart(2, "0")
  const zone = minutes === 0 ? "Z" : `${minutes < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`
  return `${new Date(time + minutes * 60_000).toISOString().slice(0, -1)}${zone}`
}

export const momentText = (moment: Moment): string => (moment === "now" ? "now" : "time" in moment ? timeText(moment.time) : `sequence ${moment.seq} of RESOURCES`)
