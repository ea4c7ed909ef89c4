/** `headgate demo-backend --name NAME --port PORT`: a small HTTP server that says who it is and what it was asked. */
import { createServer } from "node:http"
import { parseArgs } from "node:util"

export const main = async (argv: string[]): Promise<void> => {
  const { values } = parseArgs({ args: argv, options: { name: { type: "string", default: "demo" }, port: { type: "string", default: "0" } } })
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json")
    response.end(`${JSON.stringify({ backend: values.name, method: request.method, path: request.url, headers: request.headers }, null, 2)}\n`)
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(Number(values.port), "127.0.0.1", resolve)
  })
  process.once("SIGTERM", () => {
    server.close()
    server.closeAllConnections()
  })
}
