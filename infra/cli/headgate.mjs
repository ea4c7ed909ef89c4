#!/usr/bin/env node
/** The `headgate` command: main.ts from the sources, or as compiled by `npm pack` (Node strips no types under node_modules). */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { run } from "./node.mjs"

const source = fileURLToPath(new URL("main.ts", import.meta.url))
const packed = fileURLToPath(new URL("../../dist/infra/cli/main.js", import.meta.url))

await run(existsSync(source) ? source : packed, process.argv.slice(2))
