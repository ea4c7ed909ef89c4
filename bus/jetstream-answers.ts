/** The server's answers to what is published. */
import type { Msg } from "@nats-io/transport-node"
import { BusError, type Ack } from "./bus.ts"

/** Why the client could not send it. */
export const sendError = (subject: string, error: unknown): BusError => {
  const name = error instanceof Error ? error.name : ""
  const options = { cause: error }
  if (name === "ClosedConnectionError" || name === "DrainingConnectionError") return new BusError("closed", "the bus is closed", options)
  if (String(error).includes("max_payload")) return new BusError("too-large", `${subject}: ${String(error)}`, options)
  return new BusError("rejected", `${subject}: ${String(error)}`, options)
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

/** JetStream error codes: wrong last sequence; another message that names the same subject is on its way (replicated streams); message above the stream's or the server's limit; storage used up. */
const WRONG_LAST_SEQUENCE = 10071
const ON_ITS_WAY = 10164
const MESSAGE_TOO_LARGE = 10054
const INSUFFICIENT_RESOURCES = 10023
const LIMIT_REACHED = ": JetStream has as much on its disk as it may (max_file_store of its server, or the account's limit)"

/** Not stored yet: another message that names the same subject is on its way. Parsed only where the answer is short and an error may be in it. */
export const isBusy = ({ data }: Msg): boolean => data.length < 400 && Buffer.from(data.buffer, data.byteOffset, data.length).includes(`"err_code":${ON_ITS_WAY}`)

/** What became of a message of `subject`. */
export const answerOf = (subject: string, message: Msg): Ack | BusError => {
  let answer: unknown
  try {
    answer = message.json()
  } catch (error) {
    return new BusError("rejected", `${subject}: the server's ack is not JSON`, { cause: error })
  }
  const failure = isRecord(answer) ? answer["error"] : undefined
  if (isRecord(failure)) {
    const code = failure["err_code"]
    const reason = code === WRONG_LAST_SEQUENCE ? "conflict" : code === MESSAGE_TOO_LARGE ? "too-large" : "rejected"
    return new BusError(reason, `${subject}: ${String(failure["description"])}${code === INSUFFICIENT_RESOURCES ? LIMIT_REACHED : ""}`)
  }
  if (isRecord(answer) && typeof answer["seq"] === "number") return { seq: answer["seq"], duplicate: answer["duplicate"] === true }
  return new BusError("rejected", `${subject}: the server's ack has no sequence`)
}
