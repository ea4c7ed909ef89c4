import { expect, it } from "vitest"
import { defaults } from "../settings.ts"
import { shareOf } from "./share.ts"

it("what all have together is divided, rounded up; what one message or connection has is not", () => {
  const share = shareOf({ ...defaults, endpointIdle: 1, mirrorsInFlight: 0 }, 3)
  expect(share).toEqual({ ...defaults, maxConnections: 6_667, connectionsPerClient: 3_334, endpointConnections: 1_366, endpointIdle: 1, keptBytes: 5_592_406, mirrorsInFlight: 0, retryRate: 10 / 3 })
})

it("one worker has everything", () => {
  expect(shareOf(defaults, 1)).toEqual(defaults)
})
