/** Writes install.yaml, for `kubectl apply -f`: `node infra/cli/node.mjs infra/manifests/generate.ts`. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { manifests, yamlOf } from "./manifests.ts"
import { DEFAULTS } from "./options.ts"

const HEADER = `# Headgate in namespace ${DEFAULTS.namespace}. The Gateway API's own definitions come first: see infra/README.md.
# Written by infra/manifests/generate.ts; "headgate install --dry-run" prints it with other settings.
`

export const installText = (): string => HEADER + yamlOf(manifests(DEFAULTS))

if (process.argv[1] === import.meta.filename) writeFileSync(join(import.meta.dirname, "install.yaml"), installText())
