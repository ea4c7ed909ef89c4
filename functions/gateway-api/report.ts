/** Notes about one object: the field is what differs from one to the next. */
import type { Source } from "../../bus/kinds/config.ts"
import type { Read } from "../reconcile.ts"

export type Severity = "info" | "warning" | "error"

/** Says what became of a field; `fix` is what the user can do. */
export type Report = (severity: Severity, reason: string, field: string, message: string, fix: string) => void

export const reporter =
  (read: Read, about: Source): Report =>
  (severity, reason, field, message, fix) =>
    read.note({ severity, reason, message, about, field, fix })
