/**
 * The functions on manifests, without a bus: what they want to see is answered here as the adapter would, until nothing
 * more comes of it. Keys are sealed with one made up for the purpose, since only who seals checks that they fit.
 */
import { randomBytes } from "node:crypto"
import { Schema } from "effect"
import { canonical } from "../../bus/canonical.ts"
import { kinds as allKinds } from "../../bus/kinds/all.ts"
import { CONTROL_PLANE, kinds, type Note } from "../../bus/kinds/config.ts"
import { core } from "../../bus/kinds/core.ts"
import { clock } from "../../bus/kinds/ours.ts"
import { Redacted } from "../../bus/redacted.ts"
import { PLANE_KEY_BYTES, planeKey } from "../../bus/seal.ts"
import { parseSubject, resourceSubject } from "../../bus/subject.ts"
import { certs } from "../../functions/certs/certs.ts"
import { endpoints } from "../../functions/endpoints/endpoints.ts"
import { createEngine, type Engine } from "../../functions/engine/engine.ts"
import { aboutResource } from "../../functions/inputs.ts"
import { routes } from "../../functions/routes/routes.ts"
import { Catalog } from "../adapters/files/catalog.ts"
import type { ManifestOptions } from "../adapters/files/manifest.ts"
import { wantsOf } from "../adapters/wanted/follow.ts"
import { Moments } from "../adapters/wanted/moments.ts"
import { Secrets } from "../adapters/wanted/secrets.ts"

const functions = [certs, endpoints, routes]
const decoders = new Map(allKinds.filter(({ stream }) => stream === "RESOURCES").map((kind) => [kind.name, { kind, decode: Schema.decodeUnknownSync(kind.schema) }]))

export class OfflineDerivation {
  readonly catalog: Catalog
  readonly #secrets: Secrets
  readonly #engine: Engine = createEngine({ functions, notes: { kind: kinds.note, plane: CONTROL_PLANE }, about: aboutResource })
  #staged = 0

  constructor(options: Omit<ManifestOptions, "json">) {
    const key = planeKey(new Redacted(randomBytes(PLANE_KEY_BYTES)))
    this.#secrets = new Secrets({ planeKeyOf: () => key, onChange: (keys) => this.catalog.touch(keys.map((each) => resourceSubject(core.secret.name, each))) })
    this.catalog = new Catalog(options, this.#secrets)
  }

  /** What the functions say once everything is read into the catalog. */
  notes(): readonly Note[] {
    const moments = new Moments((moment, hasCome) => this.#sayMoment(moment, hasCome))
    for (let changed = this.#settle(); changed.size > 0; changed = this.#settle()) {
      for (const subject of changed) this.#stage(subject)
      this.#engine.pass()
      const wants = wantsOf(functions.flatMap((fn) => (fn.writes.includes(kinds.wanted) ? this.#engine.rows(fn.name, kinds.wanted).map(([, wanted]) => wanted) : [])))
      this.#secrets.want(wants.secrets)
      moments.want(wants.moments)
    }
    moments.stop()
    return functions.flatMap(({ name }) => this.#engine.rows(name, kinds.note).map(([, note]) => note))
  }

  #settle(): ReadonlySet<string> {
    const changed = this.catalog.settle()
    return new Set([...changed].filter((subject) => this.catalog.desired.get(subject)?.kind !== kinds.note.name))
  }

  #sayMoment(moment: string, hasCome: boolean): void {
    const key = `/${moment}`
    this.catalog.say(resourceSubject(clock.name, key), hasCome ? { kind: clock.name, key, body: canonical({ moment }), version: "", source: "" } : undefined)
  }

  #stage(subject: string): void {
    const parsed = parseSubject(subject)
    const decoder = parsed?.is === "resource" ? decoders.get(parsed.kind) : undefined
    if (parsed?.is !== "resource" || decoder === undefined || !this.#engine.inputs.includes(decoder.kind)) return
    const object = this.catalog.desired.get(subject)
    this.#engine.stage(decoder.kind, parsed.key, object && decoder.decode(JSON.parse(object.body)), ++this.#staged)
  }
}
