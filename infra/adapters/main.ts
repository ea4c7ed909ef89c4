/** `headgate adapter <name>`: each adapter loads only itself. */
const HELP = `headgate adapter <name> [options]

  files        a folder of manifests (headgate adapter files --help)
  kubernetes   a cluster's API server (headgate adapter kubernetes --help)
`

export const main = async ([name, ...rest]: string[]): Promise<void> => {
  if (name === "files") return (await import("./files/main.ts")).main(rest)
  if (name === "kubernetes") return (await import("./kubernetes/main.ts")).main(rest)
  const asked = name === undefined || name === "--help" || name === "-h"
  const out = asked && name !== undefined ? process.stdout : process.stderr
  out.write(asked ? HELP : `headgate adapter: there is no adapter "${name}"\n${HELP}`)
  if (out === process.stderr) process.exitCode = 2
}
