import { join } from "node:path"
import { goldens } from "../../test/fixtures/derive.ts"
import { routes } from "./routes.ts"

goldens(join(import.meta.dirname, "testdata"), [routes])
