/** Conditions in the words of the Gateway API (apis/v1/*_types.go). */
import type { Condition } from "../../bus/kinds/status.ts"
import type { Finding } from "../gateway-api/report.ts"

/** Says conditions of one object. */
export type Say = (type: string, status: Condition["status"], reason: string, message: string) => Condition

export const sayer =
  (observedGeneration: number): Say =>
  (type, status, reason, message) => ({ type, status, reason, message, observedGeneration })

/** How many findings a message tells; notes have them all. */
const TOLD = 3

/** What was found, each with its field, as one message. */
export const told = (findings: readonly Finding[]): string => {
  const texts = [...new Set(findings.map(({ field, message }) => (field === "" ? message : `${field}: ${message}`)))]
  const more = texts.length - TOLD
  return `${texts.slice(0, TOLD).join(" ")}${more > 0 ? ` And ${more} more.` : ""}`
}
