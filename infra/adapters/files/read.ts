/** Reading one manifest file: whole, as text, with why not. */
import { closeSync, fstatSync, openSync, readSync, statSync, type BigIntStats } from "node:fs"
import type { FileFault } from "./claims.ts"

const MAX_FILE = 64 * 1024 * 1024
/** Written by one write(2) by every program we know: the smallest buffer in use. */
const ONE_WRITE = 4096
/** Milliseconds after which a file is not in the middle of being written. */
const OLD = 1_000

export type Read =
  | { readonly is: "same" }
  | { readonly is: "gone" }
  | { readonly is: "fault"; readonly fault: FileFault; readonly stat: BigIntStats | undefined }
  | { readonly is: "text"; readonly text: string; readonly stat: BigIntStats; readonly torn: boolean }

export const identityOf = (stat: BigIntStats): string => `${stat.dev}:${stat.ino}`
export const identical = (a: BigIntStats, b: BigIntStats): boolean => a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs

/** No program is in the middle of writing it. Moved here: a rename changes the inode's change time and not the content's. Or short, and at the end of a line. Or old. */
export const isWhole = (stat: BigIntStats, text: string): boolean =>
  stat.ctimeNs > stat.mtimeNs || (stat.size < ONE_WRITE && text.endsWith("\n")) || Date.now() - Number(stat.mtimeMs) > OLD

/** Undefined where there is nothing, or what is there cannot be looked at: no right to, links in a circle, a stale mount. */
export const statOf = (path: string): BigIntStats | undefined => {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** One file, whole, unless it is still the version `before`. `torn`: it changed while it was read. */
export const readFile = (path: string, before: BigIntStats | undefined): Read => {
  let stat: BigIntStats | undefined
  let fd: number | undefined
  try {
    stat = statSync(path, { bigint: true })
    if (before !== undefined && identical(before, stat)) return { is: "same" }
    if (!stat.isFile()) return { is: "gone" }
    if (stat.size > MAX_FILE) return { is: "fault", stat, fault: { reason: "FileTooLarge", message: `The file has ${stat.size} bytes; at most ${MAX_FILE} are read.`, fix: "Split it into several files." } }
    fd = openSync(path, "r")
    stat = fstatSync(fd, { bigint: true })
    const buffer = Buffer.allocUnsafe(Number(stat.size) + 1)
    let length = 0
    for (let n = readSync(fd, buffer, 0, buffer.length, 0); n > 0; n = readSync(fd, buffer, length, buffer.length - length, length)) length += n
    const torn = !identical(stat, fstatSync(fd, { bigint: true })) || length !== Number(stat.size)
    return { is: "text", text: utf8.decode(buffer.subarray(0, length)), stat, torn }
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")) return { is: "gone" }
    const notText = cause instanceof TypeError
    return {
      is: "fault",
      stat,
      fault: {
        reason: notText ? "NotUtf8" : "FileUnreadable",
        message: notText ? "The file is not UTF-8 text." : `The file cannot be read: ${reasonOf(cause)}.`,
        fix: notText ? "Save it as UTF-8." : "Give this user the right to read it.",
      },
    }
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

export const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
