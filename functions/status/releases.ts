/**
 * Definitions of the Gateway API in the cluster → GatewayClass condition SupportedVersion (apis/v1 gatewayclass_types.go): of which
 * releases they are, as their annotation says, and whether these are known here. What is newer is served as far as it is read.
 */
import type { CustomResourceDefinition } from "../../bus/kinds/core.ts"
import { GATEWAY_GROUP } from "../../bus/kinds/gateway-api.ts"
import type { Metadata } from "../../bus/kinds/metadata.ts"
import type { Condition } from "../../bus/kinds/status.ts"
import type { Collection } from "../reconcile.ts"
import type { Say } from "./condition.ts"

const BUNDLE_VERSION = "gateway.networking.k8s.io/bundle-version"
/** v1.MINOR: HTTPRoute, Gateway and GatewayClass are v1 since the first; the last is the one that conformance is shown for. */
const [FIRST, LAST] = [0, 7]

export interface Release {
  /** `v1.7.0`; "": it does not say. */
  readonly version: string
  /** Plurals of what it defines, sorted. */
  readonly kinds: readonly string[]
}

/** Key of all there is. */
export const EVERY_RELEASE = "all"

export const releasesOf = (definitions: Collection<CustomResourceDefinition>): Collection<readonly Release[]> =>
  definitions
    .group(({ metadata }) => (pluralOf(metadata) === undefined ? [] : [EVERY_RELEASE]), (members) => {
      const versions = Map.groupBy(members.map(([, { metadata }]) => metadata), ({ annotations }) => annotations?.[BUNDLE_VERSION] ?? "")
      return [...versions].map(([version, same]): Release => ({ version, kinds: same.flatMap((metadata) => pluralOf(metadata) ?? []).sort() })).sort((a, b) => (a.version < b.version ? -1 : 1))
    })
    .named("releases of the Gateway API")

const pluralOf = ({ name }: Metadata): string | undefined => (name.endsWith(`.${GATEWAY_GROUP}`) ? name.slice(0, -GATEWAY_GROUP.length - 1) : undefined)

const isKnown = ({ version }: Release): boolean => {
  const minor = /^v1\.(\d+)\.\d+(?:-rc\.\d+)?$/.exec(version)?.[1]
  return minor !== undefined && Number(minor) >= FIRST && Number(minor) <= LAST
}

export const versionSupport = (releases: readonly Release[], say: Say): Condition => {
  const unknown = releases.filter((release) => !isKnown(release))
  if (unknown.length === 0) return say("SupportedVersion", "True", "SupportedVersion", `The definitions of the Gateway API in this cluster are of ${releases.map(({ version }) => version).join(", ")}.`)
  const which = unknown.map(({ version, kinds }) => `${kinds.join(", ")}: ${version === "" ? `no ${BUNDLE_VERSION}` : version}`).join("; ")
  return say("SupportedVersion", "False", "UnsupportedVersion", `Of the Gateway API's definitions in this cluster some are of releases that are not known (${which}). Known are v1.${FIRST} to v1.${LAST}; Gateways of this class are served as far as these go.`)
}
