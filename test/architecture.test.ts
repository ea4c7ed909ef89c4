/**
 * The arrows of the house (`infra/adapters → bus ← functions`, `bus ← gateway`), followed through the import graph:
 * lint sees one import at a time, this sees what a file loads through others.
 */
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { describe, expect, test } from "vitest"

const root = join(import.meta.dirname, "..")

interface Import {
  readonly to: string
  /** `import type`: gone at run time. `import { type A }` is not: it still loads the module. */
  readonly typeOnly: boolean
  /** `import("…")`: loaded when asked for, not at start. */
  readonly lazy: boolean
}

const statement = /^(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm
const dynamic = /\bimport\(\s*"([^"]+)"\s*\)/g

const imports = (source: string): readonly Import[] => [
  ...[...source.matchAll(statement)].map(([, type, to = ""]) => ({ to, typeOnly: type !== undefined, lazy: false })),
  ...[...source.matchAll(dynamic)].map(([, to = ""]) => ({ to, typeOnly: false, lazy: true })),
]

const files = globSync("{bus,functions,gateway,infra}/**/*.ts", { cwd: root }).filter((file) => !file.endsWith(".test.ts")).sort()

/** Path inside the project for a relative import, the specifier itself for a package. */
const target = (file: string, to: string) => (to.startsWith(".") ? relative(root, join(root, dirname(file), to)) : to)

const graph = new Map(files.map((file) => [file, imports(readFileSync(join(root, file), "utf8")).map((one) => ({ ...one, to: target(file, one.to) }))]))

const edges = [...graph].flatMap(([from, all]) => all.map((one) => ({ from, ...one })))

/** What loading `entry` loads, with the way there. Lazy imports are followed only when asked. */
const loads = (entry: string, follow: { readonly lazy: boolean }) => {
  const reached = new Map<string, string>([[entry, entry]])
  const queue = [entry]
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    for (const { to, typeOnly, lazy } of graph.get(file) ?? []) {
      if (typeOnly || (lazy && !follow.lazy) || reached.has(to)) continue
      reached.set(to, `${reached.get(file) ?? file} → ${to}`)
      queue.push(to)
    }
  }
  return reached
}

const ways = (entry: string, forbidden: RegExp, follow = { lazy: false }) => [...loads(entry, follow)].filter(([to]) => forbidden.test(to)).map(([, way]) => way)
const offending = (from: RegExp, to: RegExp) => edges.filter((edge) => from.test(edge.from) && to.test(edge.to)).map((edge) => `${edge.from} → ${edge.to}`)

const effect = /^(effect|@effect\/[^/]+)(\/|$)/
const sdk = /^@opentelemetry\//

/** Folders of functions/ that are not functions. */
const shared = new Set(["engine", "gateway-api"])
const derivations = files.filter((file) => /^functions\/[^/]+\//.test(file) && !file.startsWith("functions/engine/"))

describe("the graph itself", () => {
  test("sees every form of import", () => {
    const source = `import a from "a"\nimport type { B } from "b"\nimport {\n  c,\n} from "c"\nimport "d"\nexport * from "e"\nexport type { F } from "f"\nawait import("g")\nimport { type H } from "h"\n`
    expect(imports(source).map(({ to, typeOnly, lazy }) => `${to}${typeOnly ? " type" : ""}${lazy ? " lazy" : ""}`)).toEqual(["a", "b type", "c", "d", "e", "f type", "h", "g lazy"])
  })

  test("every relative import names a file that exists", () => {
    expect(edges.filter((edge) => /^(bus|functions|gateway|infra|test)\//.test(edge.to) && !existsSync(join(root, edge.to))).map((edge) => `${edge.from} → ${edge.to}`)).toEqual([])
  })

  test("no file loads itself through others", () => {
    const cycles = files.filter((file) => (graph.get(file) ?? []).some((one) => !one.typeOnly && !one.lazy && one.to !== file && loads(one.to, { lazy: false }).has(file)))
    expect(cycles).toEqual([])
  })
})

describe("arrows", () => {
  test("bus/ imports neither functions/, gateway/ nor infra/", () => {
    expect(offending(/^bus\//, /^(functions|gateway|infra|test)\//)).toEqual([])
  })
  test("functions/ imports neither gateway/ nor infra/", () => {
    expect(offending(/^functions\//, /^(gateway|infra|test)\//)).toEqual([])
  })
  test("gateway/ imports neither functions/ nor infra/", () => {
    expect(offending(/^gateway\//, /^(functions|infra|test)\//)).toEqual([])
  })
  test("adapters import neither functions/ nor gateway/", () => {
    expect(offending(/^infra\/adapters\//, /^(functions|gateway|test)\//)).toEqual([])
  })
  test("NATS is imported by bus/jetstream* alone", () => {
    expect(offending(/^(?!bus\/jetstream)/, /^(@nats-io\/|nats$)/)).toEqual([])
  })
  test("no function imports another function", () => {
    const functionOf = (path: string) => /^functions\/([^/]+)\//.exec(path)?.[1]
    const crossing = edges.filter(({ from, to }) => {
      const [a, b] = [functionOf(from), functionOf(to)]
      return a !== undefined && b !== undefined && a !== b && !shared.has(b) && a !== "engine"
    })
    expect(crossing.map((edge) => `${edge.from} → ${edge.to}`)).toEqual([])
  })
})

describe("what a process loads", () => {
  test("the gateway process holds neither Effect nor an OpenTelemetry SDK", () => {
    expect(existsSync(join(root, "gateway/main.ts"))).toBe(true)
    expect([...ways("gateway/main.ts", effect, { lazy: true }), ...ways("gateway/main.ts", sdk, { lazy: true })]).toEqual([])
  })
  test("adapters and functions load the OpenTelemetry SDK only when asked to", () => {
    expect(["functions/main.ts", "infra/adapters/files/main.ts"].flatMap((main) => ways(main, sdk))).toEqual([])
    expect(ways("functions/main.ts", sdk, { lazy: true })).not.toEqual([])
  })
  test("the gateway process does not load what only explains it", () => {
    expect(existsSync(join(root, "gateway/table/explain.ts"))).toBe(true)
    expect(ways("gateway/main.ts", /^gateway\/table\/explain\.ts$/, { lazy: true })).toEqual([])
  })
  test("the command line loads neither Effect nor a part before it knows the subcommand", () => {
    expect(ways("infra/cli/main.ts", effect)).toEqual([])
    expect(ways("infra/cli/main.ts", /^(gateway\/main|functions\/main|infra\/adapters)/)).toEqual([])
  })
  test("people's commands load what speaks to a cluster, or runs everything, only when that is asked for", () => {
    const heavy = /^(@kubernetes\/|undici$|infra\/cli\/up\.ts$|functions\/)/
    expect(ways("infra/cli/commands.ts", heavy)).toEqual([])
    expect(ways("infra/cli/commands.ts", heavy, { lazy: true })).not.toEqual([])
  })
  test("a derivation imports Effect only through the schemas of bus/kinds", () => {
    const direct = derivations.flatMap((file) => ways(file, effect)).filter((way) => !way.includes("→ bus/kinds/"))
    expect(direct).toEqual([])
  })
  test("a derivation loads no I/O", () => {
    // Schemas may use pure parts of node: (`isIP`): what counts is what a derivation itself can call. Lint names what of node:crypto is pure.
    const own = derivations.flatMap((file) => ways(file, /^(node:(?!assert|util|crypto)|undici|@nats-io|@kubernetes)/)).filter((way) => !way.includes("→ bus/kinds/"))
    expect(own).toEqual([])
  })
})
