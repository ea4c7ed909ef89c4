import { RE2JS } from "re2js"

/** Instructions of a compiled pattern; matching is O(size × input), so the size is what a user can make us pay. */
const LARGEST_PROGRAM = 4_000
const LONGEST_PATTERN = 1_024

/**
 * Why a regular expression cannot be used, or undefined. RE2 syntax: linear time, so no back-references and no
 * look-around; repetition that would blow the program up is refused.
 */
export const regexProblem = (pattern: string): string | undefined => {
  if (pattern.length > LONGEST_PATTERN) return `it has ${pattern.length} characters, at most ${LONGEST_PATTERN} are allowed`
  try {
    const size = RE2JS.compile(pattern).programSize()
    return size > LARGEST_PROGRAM ? `it compiles to ${size} steps, at most ${LARGEST_PROGRAM} are allowed` : undefined
  } catch (error) {
    if (error instanceof Error) return error.message.replace(/^error parsing regexp: /, "")
    throw error
  }
}
