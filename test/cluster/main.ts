/** `npm run cluster -- up|down|status|kubectl …|shell [node|client] COMMAND …|load ARCHIVE|image` */
import { spawn } from "node:child_process"
import { binaries } from "./binaries.ts"
import { down, kubectl, load, runningCluster, up } from "./cluster.ts"
import { writeHeadgateImage } from "./images.ts"
import { inside } from "./network.ts"
import { ADMIN, CLIENT, NODE, state } from "./place.ts"

const USAGE = `usage: npm run cluster -- COMMAND

  up               starts a one-node Kubernetes; builds it first where the cache has none
  down             ends it and removes what it left
  status           whether one runs, and its pods
  kubectl ...      kubectl as its administrator
  in node|client COMMAND ...   runs a command on its node's, or on its client's network
  load ARCHIVE     puts an image (a tar file) into it
  image            puts the product into it as it stands now: pods that start from then on have it

KUBECONFIG for commands run "in" either network: ${ADMIN}
Logs: ${state("log")}`

const attached = ([command = "", ...args]: readonly string[]): Promise<number> =>
  new Promise((resolve) => {
    const child = spawn(command, args, { stdio: "inherit", env: { ...process.env, KUBECONFIG: ADMIN } })
    child.once("error", (error) => {
      console.error(error.message)
      resolve(127)
    })
    child.once("exit", (code) => resolve(code ?? 1))
  })

const status = async (): Promise<number> => {
  const init = runningCluster()
  if (init === undefined) {
    console.log("no cluster runs")
    return 1
  }
  console.log(`a cluster runs (first process ${init}, logs in ${state("log")})`)
  console.log(await kubectl("get", "nodes,pods", "--all-namespaces"))
  return 0
}

const [command, ...args] = process.argv.slice(2)
const perform = async (): Promise<number> => {
  switch (command) {
    case "up":
      await up((line) => console.log(line))
      return 0
    case "down":
      await down()
      return 0
    case "status":
      return status()
    case "kubectl":
      return attached([...inside(NODE), (await binaries(() => undefined)).hyperkube, "kubectl", "--kubeconfig", ADMIN, ...args])
    case "in":
      return attached([...inside(args[0] === "client" ? CLIENT : NODE), ...args.slice(1)])
    case "load":
      await load(args[0] ?? "")
      return 0
    case "image":
      await load(await writeHeadgateImage())
      return 0
    default:
      console.log(USAGE)
      return command === undefined || command === "--help" ? 0 : 2
  }
}
try {
  process.exitCode = await perform()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
