import { expect, it } from "vitest"
import { Metrics } from "./metrics.ts"
import { countersOf, sumMetrics } from "./sum.ts"

const counted = (port: number, requests: number): Metrics => {
  const metrics = new Metrics()
  const listener = metrics.listener(port)
  for (let i = 0; i < requests; i++) listener.done(200, i)
  listener.connections = requests
  metrics.swaps = 7
  metrics.upstream.ended("ok")
  return metrics
}

it("of one worker is what it says itself", () => {
  const text = counted(80, 3).text([])
  expect(sumMetrics([text])).toBe(text)
})

it("of several are the sums, series of one among them, and each family once", () => {
  const sum = sumMetrics([counted(80, 3).text([]), counted(80, 40).text([]), counted(81, 1).text([])])
  for (const line of [
    `headgate_http_requests_total{port="80",code="2xx"} 43`, `headgate_http_requests_total{port="81",code="2xx"} 1`, `headgate_http_connections{port="80"} 43`,
    `headgate_http_request_duration_seconds_bucket{port="80",le="+Inf"} 43`, `headgate_http_request_duration_seconds_count{port="80"} 43`, `headgate_upstream_requests_total{outcome="ok"} 3`,
  ]) expect(sum.split("\n")).toContain(line)
  const types = [...sum.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
  expect(types).toHaveLength(new Set(types).size)
})

it("do not multiply what every worker has: swaps", () => {
  expect(sumMetrics([counted(80, 0).text([]), counted(80, 0).text([])])).toContain("headgate_table_swaps_total 7\n")
})

it("keep counters of a worker that is gone, and no gauge of it", () => {
  const gone = countersOf(counted(80, 3).text([]))
  expect(gone).toContain(`headgate_http_requests_total{port="80",code="2xx"} 3`)
  expect(gone).not.toContain("headgate_http_connections{")
  expect(sumMetrics([gone, counted(80, 2).text([])])).toContain(`headgate_http_connections{port="80"} 2`)
})
