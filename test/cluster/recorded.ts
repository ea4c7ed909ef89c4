/** What becomes of objects of the cluster, seen from outside: every version that a watch brings, in order. */
import { connectApi, resourcePath } from "../../infra/adapters/kubernetes/client.ts"
import { isJson, type Json, listOf, memberOf, type RawObject, textOf } from "../../infra/adapters/kubernetes/raw.ts"
import { Reflector } from "../../infra/adapters/kubernetes/reflector.ts"
import { until } from "../system/until.ts"

export interface Collection {
  readonly group: string
  readonly plural: string
  /** Absent: of all namespaces. */
  readonly namespace?: string
  /** Of this name alone. */
  readonly name?: string
}

export interface Version {
  readonly plural: string
  readonly key: string
  readonly uid: string
  readonly generation: number
  readonly isGone: boolean
  /** `Programmed`, `listeners/http/Accepted`, `parents/<controller>/<parent>/Accepted` to `True`, `False` or `Unknown`. */
  readonly conditions: ReadonlyMap<string, string>
  readonly object: Json
}

export interface Recording {
  /** Oldest first. */
  readonly versions: readonly Version[]
  /** What had a condition and later another status of it, or none: `httproutes shop/web parents/…/Accepted: True → Unknown`. */
  flips(): readonly string[]
  /** What was there and went, or came back as another. */
  losses(): readonly string[]
  stop(): Promise<void>
}

/** Resolves when all that is there has been seen. */
export const record = async (...collections: readonly Collection[]): Promise<Recording> => {
  const api = connectApi()
  const versions: Version[] = []
  const last = new Map<string, RawObject>()
  const reflectors = collections.map(({ group, plural, namespace, name }) => new Reflector({
    api, path: resourcePath({ group, version: "v1", plural, ...(namespace === undefined ? {} : { namespace }) }), ...(name === undefined ? {} : { fieldSelector: `metadata.name=${name}` }), timing: { first: 50, max: 500 },
    events: {
      put: (object) => {
        last.set(`${plural} ${object.key}`, object)
        versions.push(versionOf(plural, object, false))
      },
      gone: (key) => {
        const before = last.get(`${plural} ${key}`)
        if (before !== undefined) versions.push(versionOf(plural, before, true))
        last.delete(`${plural} ${key}`)
      },
      batch: () => undefined, synced: () => undefined, trouble: () => undefined,
    },
  }))
  for (const reflector of reflectors) reflector.start()
  await until("everything is listed", () => reflectors.every(({ isSynced }) => isSynced), 30_000)
  return {
    versions,
    flips: () => flipsOf(versions),
    losses: () => versions.filter(({ isGone }) => isGone).map(({ plural, key, uid }) => `${plural} ${key} (${uid})`),
    stop: async () => {
      for (const reflector of reflectors) reflector.stop()
      await api.close()
    },
  }
}

const versionOf = (plural: string, { key, uid, object }: RawObject, isGone: boolean): Version => ({
  plural, key, uid, isGone, object, generation: Number(memberOf(object, "metadata")["generation"] ?? 0), conditions: new Map(isGone ? [] : conditionsOf(memberOf(object, "status"))),
})

const conditionsOf = (status: Json): readonly (readonly [string, string])[] => {
  const under = (prefix: string, from: unknown) => listOf(from, "conditions").flatMap((each) => (isJson(each) ? [[`${prefix}${textOf(each["type"])}`, textOf(each["status"])] as const] : []))
  return [
    ...under("", status),
    ...listOf(status, "listeners").flatMap((listener) => (isJson(listener) ? under(`listeners/${textOf(listener["name"])}/`, listener) : [])),
    ...listOf(status, "parents").flatMap((parent) => {
      if (!isJson(parent)) return []
      const { namespace = "", name, sectionName = "", port = "" } = memberOf(parent, "parentRef")
      return under(`parents/${textOf(parent["controllerName"])}/${[namespace, name, sectionName, port].map(String).join("/")}/`, parent)
    }),
  ]
}

const flipsOf = (versions: readonly Version[]): readonly string[] => {
  const said = new Map<string, ReadonlyMap<string, string>>()
  const flips: string[] = []
  for (const { plural, key, conditions, isGone } of versions) {
    for (const [name, before] of said.get(`${plural} ${key}`) ?? []) {
      const now = conditions.get(name)
      if (now !== before && !isGone) flips.push(`${plural} ${key} ${name}: ${before} → ${now ?? "nothing"}`)
    }
    said.set(`${plural} ${key}`, conditions)
  }
  return flips
}
