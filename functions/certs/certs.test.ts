import { join } from "node:path"
import { goldens } from "../../test/fixtures/derive.ts"
import { certs } from "./certs.ts"

goldens(join(import.meta.dirname, "testdata"), [certs])
