/** The one image of every pod, as Dockerfile makes it where there is Docker, and test/cluster where there is none. */
import { createRequire } from "node:module"
import { NODE_ENVIRONMENT, NODE_FLAGS } from "../cli/part.ts"

const { version }: { readonly version: string } = createRequire(import.meta.url)("headgate/package.json")

export const IMAGE = `headgate.dev/headgate:${version}`

/** What people run in a pod, by name: a file beside this one. */
export const LAUNCHER = { source: "infra/images/headgate", path: "/bin/headgate" } as const

/** As in an image's configuration (image-spec, config.md). No shell is in it, nor needed; nats-server is `/nats-server`. */
export const configuration = {
  Entrypoint: ["/bin/node", ...NODE_FLAGS, "/app/infra/cli/main.js"],
  Env: ["PATH=/bin", "HOME=/tmp", ...Object.entries(NODE_ENVIRONMENT).map(([name, value]) => `${name}=${value}`)],
  User: "65532",
  WorkingDir: "/app",
} as const
