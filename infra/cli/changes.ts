/** What differs between two values, as paths: `spec.rules[0].filters`. */

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

/** The deepest places at which the two are not the same, lists by index. "" stands for the whole value. */
export const changedPaths = (before: unknown, after: unknown, path = ""): readonly string[] => {
  if (Object.is(before, after)) return []
  if (!isObject(before) || !isObject(after) || Array.isArray(before) !== Array.isArray(after)) return [path]
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])]
  return names.flatMap((name) => changedPaths(Reflect.get(before, name), Reflect.get(after, name), Array.isArray(after) ? `${path}[${name}]` : path === "" ? name : `${path}.${name}`))
}

/** A few words: at most `most` paths, the rest counted. */
export const changesText = (paths: readonly string[], most = 4): string =>
  paths.length === 0 ? "nothing but its headers" : paths.length <= most ? paths.map((path) => path || "everything").join(", ") : `${paths.slice(0, most).join(", ")} and ${paths.length - most} more`
