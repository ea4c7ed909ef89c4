/** What the adapter has to say about objects and kinds. Pure. */
import type { ReadResult, ResourceApi } from "../../../bus/kinds/all.ts"
import type { Note } from "../../../bus/kinds/config.ts"
import { GATEWAY_GROUP } from "../../../bus/kinds/gateway-api.ts"
import { HEADGATE_GROUP } from "../../../bus/kinds/installation.ts"
import { REFUSALS } from "./api-error.ts"
import type { KindState } from "./kind-watch.ts"

type Said = Omit<Note, "schema">

const MOST = 20
/** Whose fields are ours to act on. Those of Kubernetes itself that no schema here knows are nobody's mistake. */
const OURS: ReadonlySet<string> = new Set([GATEWAY_GROUP, HEADGATE_GROUP])

/** By an id unique to each. */
export const objectNotes = ({ group, kindName }: ResourceApi, key: string, { ok, unknown, ...rest }: ReadResult): readonly (readonly [string, Said])[] => {
  const [namespace = "", name = ""] = key.split("/")
  const about = { kind: kindName, namespace, name }
  const wrong = ok || !("problems" in rest) ? [] : rest.problems.map(({ field, reason, message, fix }): Said => ({ severity: "error", reason, message: `${sentence(message)} The last version that could be read stays in use.`, about, field, fix }))
  const unheard = OURS.has(group) ? unknown.map(({ field, reason, message }): Said => ({ severity: "warning", reason, message: `${sentence(message)} It has no effect.`, about, field, fix: `Remove ${field}, or take a version of Headgate that knows it.` })) : []
  return [...wrong, ...unheard].slice(0, MOST).map((note, index) => [`${note.reason}/${kindName}/${key}/${index}`, note])
}

/** Undefined: there is nothing to say. */
export const kindNote = ({ group, kindName, versions: [best], plural }: ResourceApi, state: KindState, version: string | undefined): Said | undefined => {
  const full = group === "" ? kindName : `${kindName} (${group})`
  switch (state.is) {
    case "absent":
      return {
        severity: group === GATEWAY_GROUP ? "warning" : "info", reason: "KindAbsent",
        message: `The API server has no kind ${full}: nothing of it is read. It is taken up as soon as it is there.`,
        fix: group === GATEWAY_GROUP ? "Install the Gateway API's definitions (gateway-api.sigs.k8s.io, standard or experimental channel)." : "Install Headgate's definitions: headgate install.",
      }
    case "refused":
      return { severity: "error", reason: "KindRefused", message: `The API server lets nobody here read ${full}: ${state.error.message}. What was published of it stays.`, fix: `Allow the adapter to get, list and watch ${plural}.` }
    case "synced":
      if (state.error !== undefined && REFUSALS.includes(state.error.status)) {
        return { severity: "error", reason: "KindRefused", message: `The API server does not tell of changes of ${full} any more: ${state.error.message}. What was read before stays in use.`, fix: `Allow the adapter to get, list and watch ${plural}.` }
      }
      return version === best ? undefined : { severity: "info", reason: "OlderVersion", message: `${full} is read in version ${version}: the API server has no ${best}.`, fix: "Install newer definitions of the Gateway API." }
    case "waiting":
      return undefined
  }
}

const sentence = (message: string): string => (/[.!?]$/.test(message) ? message : `${message}.`)
