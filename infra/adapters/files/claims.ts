/** Files, their documents, and which of several documents that ask for one name stands. */
import { hash } from "node:crypto"
import type { Redacted } from "../../../bus/redacted.ts"
import { lineOfField } from "./document.ts"
import type { Manifest, ManifestObject } from "./manifest.ts"

export interface Document extends Manifest {
  readonly file: SourceFile
  readonly text: Redacted<string>
  /** Position and line in the newest version of the file. */
  index: number
  line: number
}

/** Equal for equal texts. What may hold a Secret is not kept as it is. */
export const identityOfText = (text: string): string => (text.includes("Secret") || text.includes("PRIVATE KEY") ? hash("sha256", text) : text)

export interface Claim {
  readonly document: Document
  readonly object: ManifestObject
}

export interface SourceFile {
  readonly name: string
  /** Identity of a text → documents with it, in order. */
  documents: ReadonlyMap<string, Document[]>
  /** True while it is gone, but perhaps only being replaced. */
  missing: boolean
  /** Why the file as a whole cannot be read. */
  fault: FileFault | undefined
}

export interface FileFault {
  readonly reason: string
  readonly message: string
  readonly fix: string
}

export const isBroken = (file: SourceFile): boolean => file.fault !== undefined || [...file.documents.values()].some((list) => list.some((document) => document.broken))

/** A file that is there before one that is gone, then byte order of the name. */
export const precedes = (a: SourceFile, b: SourceFile): boolean => compareFiles(a, b) < 0
const compareFiles = (a: SourceFile, b: SourceFile): number => (a.missing === b.missing ? Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)) : a.missing ? 1 : -1)
/** The one that stands first. */
export const byPrecedence = (a: Claim, b: Claim): number => compareFiles(a.document.file, b.document.file) || a.document.index - b.document.index

/** Of the object's name, in the file. */
export const lineOf = (document: Document, object: ManifestObject): number => document.line - 1 + lineOfField(document.text.reveal(), [...object.path, "metadata", "name"])
