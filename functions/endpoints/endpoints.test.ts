import { join } from "node:path"
import { goldens } from "../../test/fixtures/derive.ts"
import { endpoints, endpointsBy } from "./endpoints.ts"

goldens(join(import.meta.dirname, "testdata"), [endpoints])
goldens(join(import.meta.dirname, "testdata/http2"), [endpointsBy({ http2: true })])
