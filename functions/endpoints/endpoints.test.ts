import { join } from "node:path"
import { goldens } from "../../test/fixtures/derive.ts"
import { endpoints } from "./endpoints.ts"

goldens(join(import.meta.dirname, "testdata"), [endpoints])
