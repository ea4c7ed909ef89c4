/** What an adapter has to say about its source, as a resource of kind note. */
import { hash } from "node:crypto"
import { canonical } from "../../../bus/canonical.ts"
import type { Note } from "../../../bus/kinds/config.ts"
import { resourceSubject } from "../../../bus/subject.ts"
import type { Desired } from "./desired.ts"
import type { Trouble } from "./publisher.ts"

/** Subject and value; key `<adapter>/<id>`, hashed where a path would make the subject too long for the server. */
export const adapterNote = (adapter: string, id: string, note: Omit<Note, "schema">): readonly [string, Desired] => {
  const plain = id.toWellFormed()
  const name = plain.length > 300 ? `${plain.slice(0, 200)}/${hash("sha256", plain).slice(0, 16)}` : plain
  const key = `${adapter}/${name}`
  return [resourceSubject("note", key), { kind: "note", key, body: canonical({ schema: 1, ...note }), version: "", source: "" }]
}

/** Why an object cannot stand on the bus as it should. */
export const troubleNote = (kind: string, key: string, { reason, message }: Trouble): Omit<Note, "schema"> => {
  const [namespace = "", name = ""] = key.split("/")
  const isForeign = reason === "OwnedByAnotherAdapter"
  return {
    severity: "error", reason, about: { kind, namespace, name },
    message: `${kind} ${key} ${isForeign ? "is published by another adapter, which stands" : `was refused by the bus: ${message}`}.`,
    fix: isForeign ? "Remove it here or there." : "Shorten the object.",
  }
}
