import type { LabelSelector } from "../../bus/kinds/metadata.ts"

/** metav1.LabelSelector on labels (undefined: the object does not exist, nothing selects it). */
export const selects = (selector: LabelSelector, labels: Readonly<Record<string, string>> | undefined): boolean => {
  if (labels === undefined) return false
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels[key] !== value) return false
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const value = labels[key]
    const holds =
      operator === "Exists" ? value !== undefined : operator === "DoesNotExist" ? value === undefined : operator === "In" ? value !== undefined && values.includes(value) : value === undefined || !values.includes(value)
    if (!holds) return false
  }
  return true
}
