/**
 * Cuts a YAML stream into its documents without parsing it, so that an edit in a file of thousands of documents
 * parses only what changed (the rest is recognised by its text).
 */

export interface Piece {
  readonly text: string
  /** Line of the first character of `text` in the file, from 1. */
  readonly line: number
}

/** A line that starts with `---` or `...` and then ends or has white space is a marker wherever it stands (YAML 1.2 §9.1.2). */
const MARKER = /^(?:---|\.\.\.)(?=[ \t\r\n]|$)/gm
/** A line that is neither blank nor a comment; one that is no directive either. Looked for, because to match all lines that are takes stack for each. */
const CONTENT = /(?:^|\n)[ \t]*(?:[^ \t\r\n#]|\r(?!\n|$))/
const NO_DIRECTIVE = /(?:^|\n)[ \t]*(?:[^ \t\r\n#%]|\r(?!\n|$))/

/**
 * Documents in file order; pieces of nothing but comments and white space are left out. `text` of a document starts
 * behind its `---` (what follows on the marker's line belongs to it), so a document's text is the same first or last in
 * the file. Directives (`%YAML`) stay with the document they precede.
 */
export const splitDocuments = (source: string): Piece[] => {
  const pieces: Piece[] = []
  let start = source.startsWith("\uFEFF") ? 1 : 0
  let line = 1
  let counted = 0
  const countTo = (end: number): number => {
    for (let at = source.indexOf("\n", counted); at !== -1 && at < end; at = source.indexOf("\n", at + 1)) line++
    counted = end
    return line
  }
  const take = (end: number): boolean => {
    const text = source.slice(start, end)
    if (!CONTENT.test(text)) return true
    if (!NO_DIRECTIVE.test(text)) return false
    pieces.push({ text, line: countTo(start) })
    return true
  }
  MARKER.lastIndex = 0
  for (let marker = MARKER.exec(source); marker !== null; marker = MARKER.exec(source)) {
    if (take(marker.index)) start = marker.index + 3
  }
  take(source.length)
  return pieces
}
