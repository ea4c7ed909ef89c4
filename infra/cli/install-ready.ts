/** Whether the workloads of an installation have come up, and in plain words what they wait for. */
import { setTimeout as pause } from "node:timers/promises"
import { ApiError } from "../adapters/kubernetes/api-error.ts"
import type { ApiClient } from "../adapters/kubernetes/client.ts"
import { type Json, isJson, listOf, memberOf, textOf } from "../adapters/kubernetes/raw.ts"
import { pathOf, type Place, placeText, read } from "./install-objects.ts"

type Api = Pick<ApiClient, "request">

const AGAIN = 500

/** Resolves when each has as many ready pods as it asks for, all of the newest template. Rejects with Error that names what is not, and why. */
export const untilRolledOut = async (api: Api, places: readonly Place[], say: (line: string) => void, timeout: number): Promise<void> => {
  const deadline = performance.now() + timeout
  const waiting = new Map(places.map((place) => [placeText(place), place]))
  const said = new Map<string, string>()
  for (;;) {
    for (const [text, place] of waiting) {
      const state = await stateOf(api, place).catch((error: unknown) => {
        // An API server that goes away for a while has been seen while much starts at once.
        if (error instanceof ApiError && (error.status === 0 || error.status === 429 || error.status >= 500)) return `the API server does not answer (${error.message})`
        throw error
      })
      if (state === "ready") waiting.delete(text)
      if (said.get(text) !== state) say(`  ${state === "ready" ? "ready    " : "waiting  "} ${text}${state === "ready" ? "" : `: ${state}`}`)
      said.set(text, state)
    }
    if (waiting.size === 0) return
    if (performance.now() > deadline) throw new Error(`not ready after ${Math.round(timeout / 1000)} s:\n${[...waiting.keys()].map((text) => `  ${text}: ${said.get(text)}`).join("\n")}`)
    await pause(AGAIN)
  }
}

/** `ready`, or what it waits for. */
const stateOf = async (api: Api, place: Place): Promise<string> => {
  const object = await read(api, pathOf(place))
  const [metadata, spec, status] = ["metadata", "spec", "status"].map((name) => memberOf(object, name))
  const number = (from: Json | undefined, name: string): number => Number(from?.[name] ?? 0)
  const wanted = number(spec, "replicas")
  if (number(status, "observedGeneration") < number(metadata, "generation")) return "the cluster has not looked at it yet"
  const [updated, ready, total] = [number(status, "updatedReplicas"), number(status, "readyReplicas"), number(status, "replicas")]
  if (updated === wanted && ready === wanted && total === wanted) return "ready"
  const trouble = await troubleOf(api, place, spec)
  return `${Math.min(ready, updated)} of ${wanted} pods are ready${trouble === undefined ? "" : ` (${trouble})`}`
}

/** Of the first pod that says why it does not go on. */
const troubleOf = async (api: Api, { namespace }: Place, spec: Json | undefined): Promise<string | undefined> => {
  const labels = Object.entries(memberOf(memberOf(spec, "selector"), "matchLabels")).map(([name, value]) => `${name}=${textOf(value)}`).join(",")
  const pods = await read(api, `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?labelSelector=${encodeURIComponent(labels)}`)
  for (const pod of listOf(pods, "items")) {
    const status = memberOf(pod, "status")
    for (const container of listOf(status, "containerStatuses")) {
      const state = memberOf(container, "state")
      const waiting = memberOf(state, "waiting")
      const reason = textOf(waiting["reason"])
      if (reason !== "" && reason !== "ContainerCreating") return shortened(`${reason}${textOf(waiting["message"]) === "" ? "" : `: ${textOf(waiting["message"])}`}`)
    }
    const unscheduled = listOf(status, "conditions").find((condition) => isJson(condition) && condition["type"] === "PodScheduled" && condition["status"] === "False")
    if (isJson(unscheduled)) return shortened(textOf(unscheduled["message"]))
  }
  return undefined
}

const shortened = (text: string): string => (text.length > 160 ? `${text.slice(0, 160)}…` : text)
