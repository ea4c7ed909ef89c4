/**
 * Chooses among shares in proportion to their weights, as evenly spread as can be (smooth weighted round robin): each
 * turn every share gains its weight, the richest is chosen and pays the sum. -1 when no weight is above 0.
 */
export const weighted = (weights: readonly number[]): (() => number) => {
  const sum = weights.reduce((total, weight) => total + weight, 0)
  if (sum <= 0) return () => -1
  const credit = weights.map(() => 0)
  return () => {
    let chosen = -1
    let most = -Infinity
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i] ?? 0
      if (weight <= 0) continue
      const own = (credit[i] ?? 0) + weight
      credit[i] = own
      if (own > most) {
        most = own
        chosen = i
      }
    }
    credit[chosen] = most - sum
    return chosen
  }
}
