import { join } from "node:path"
import { goldens } from "../../test/fixtures/derive.ts"
import { gateways } from "./gateways.ts"

goldens(join(import.meta.dirname, "testdata"), [gateways])
