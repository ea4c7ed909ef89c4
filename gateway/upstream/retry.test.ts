import { describe, expect, it } from "vitest"
import { backoff, budgetOf, RetryBudget } from "./retry.ts"

/** How many retries it gives at once. */
const burst = (budget: RetryBudget, now: number): number => {
  let count = 0
  while (budget.take(now)) count++
  return count
}

describe("budget of retries", () => {
  it("gives at once what ten seconds save, then so many a second", () => {
    const budget = new RetryBudget({ retryPercent: 20, retryRate: 10 }, 0)
    expect(burst(budget, 0)).toBe(100)
    expect(burst(budget, 1_000)).toBe(10)
    expect(burst(budget, 1_050)).toBe(0)
    expect(burst(budget, 100_000)).toBe(100)
  })

  it("of requests that all fail lets a share be sent again: the load grows by that share, not by their attempts", () => {
    const budget = new RetryBudget({ retryPercent: 20, retryRate: 0 }, 0)
    let retries = 0
    for (let request = 0; request < 1_000; request++) {
      budget.earn()
      for (let attempt = 0; attempt < 3; attempt++) if (budget.take(0)) retries++
    }
    expect(retries).toBe(200)
  })

  it("is none at all where both limits are 0", () => {
    const budget = new RetryBudget({ retryPercent: 0, retryRate: 0 }, 0)
    budget.earn()
    expect(burst(budget, 10_000)).toBe(0)
  })

  it("is one for a cluster", () => {
    const cluster = () => ({ id: "c", endpoints: [], isHttp2: false, emptyStatus: 503, turn: 0 })
    const one = cluster()
    const limits = { retryPercent: 0, retryRate: 1 }
    expect(budgetOf(one, limits, 0)).toBe(budgetOf(one, limits, 0))
    expect(budgetOf(one, limits, 0)).not.toBe(budgetOf(cluster(), limits, 0))
  })
})

describe("backoff", () => {
  it("doubles from its base up to ten times as much", () => {
    expect([1, 2, 3, 4, 5, 50].map((made) => backoff({ backoff: 100 }, made, 0))).toEqual([100, 200, 400, 800, 1_000, 1_000])
  })

  it("is up to half as long again, never shorter", () => {
    expect([0, 0.5, 1].map((chance) => backoff({ backoff: 100 }, 1, chance))).toEqual([100, 125, 150])
  })

  it("is short where none is named, and none where that is asked for", () => {
    expect([backoff({ backoff: undefined }, 1, 0), backoff({ backoff: 0 }, 9, 1)]).toEqual([25, 0])
  })
})
