/** `key=value,key2=value2`, values percent-encoded (W3C Baggage without properties), as OTEL_… variables have it. */
export const pairsOf = (text: string | undefined): Readonly<Record<string, string>> => {
  const pairs: Record<string, string> = {}
  for (const pair of text?.split(",") ?? []) {
    const at = pair.indexOf("=")
    if (at <= 0) continue
    const value = pair.slice(at + 1).trim()
    try {
      pairs[pair.slice(0, at).trim()] = decodeURIComponent(value)
    } catch {
      pairs[pair.slice(0, at).trim()] = value
    }
  }
  return pairs
}
