import type { Bus } from "../../bus/bus.ts"
import { isDeleted } from "../../bus/envelope.ts"
import { parseSubject } from "../../bus/subject.ts"
import { stateOf } from "./explain-read.ts"
import { closeTo, nameText, type ObjectName } from "./object-name.ts"

/** Objects of the kind on the bus that are called something like it, as people name them. */
export const closeObjects = async (bus: Bus, { kind, key }: ObjectName): Promise<readonly string[]> => {
  const there = (await stateOf(bus, "RESOURCES", `resource.${kind}.>`)).flatMap((message) => {
    const parsed = parseSubject(message.subject)
    return parsed?.is === "resource" && !isDeleted(message.headers) ? [parsed.key] : []
  })
  return closeTo(key, there).map((each) => nameText({ kind, key: each }))
}
