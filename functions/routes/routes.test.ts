import { join } from "node:path"
import { goldens } from "../../test/fixtures/derive.ts"
import { routes, routesBy } from "./routes.ts"

goldens(join(import.meta.dirname, "testdata"), [routes])
goldens(join(import.meta.dirname, "testdata/http2"), [routesBy({ http2: true })])
