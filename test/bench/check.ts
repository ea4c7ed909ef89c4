/** Before anything is measured: each proxy does what the others do. */
import { execFile } from "node:child_process"
import { connect } from "node:http2"
import { until } from "../system/until.ts"
import type { Candidate } from "./candidates.ts"
import { hostOf, prefixOf, type Grid } from "./peers.ts"

const curl = (url: string, host: string, args: readonly string[]) =>
  new Promise<string>((resolve) => {
    execFile("curl", ["-sk", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-H", `Host: ${host}`, ...args, url], (_, stdout) => resolve(stdout))
  })

/** Every one routes: a prefix of the last host answers 200 with so many octets, a host nobody has 404. `args`: of curl. */
export const check = async ({ name, url }: Candidate, { hosts, prefixes }: Grid, octets = 1024, leaf = "item", args: readonly string[] = []): Promise<void> => {
  const path = `${url}${prefixOf(prefixes - 1)}/${leaf}`
  await until(`${name} answers`, async () => (await curl(path, hostOf(hosts - 1), args)) === `200 ${octets}`, 10_000)
  const foreign = await curl(path, "nobody.example", args)
  if (!foreign.startsWith("404")) throw new Error(`${name} does not route as the others: ${foreign}`)
}

/** One call of gRPC in clear: the status in its trailers, "" where there is none; `none` where there is no answer to it. */
export const grpcStatus = ({ url }: Candidate, body: Buffer): Promise<string> =>
  new Promise((resolve) => {
    const session = connect(url)
    const end = (status: string) => {
      session.destroy()
      resolve(status)
    }
    session.on("error", () => end("none"))
    const stream = session.request({ ":method": "POST", ":path": `${prefixOf(0)}/item`, ":authority": hostOf(0), "content-type": "application/grpc", te: "trailers" })
    let status = ""
    stream.on("error", () => end("none"))
    stream.on("response", (fields) => fields[":status"] !== 200 && end("none"))
    stream.on("trailers", (fields) => (status = String(fields["grpc-status"] ?? "")))
    stream.on("end", () => end(status))
    stream.resume()
    stream.end(body)
  })
