/** An image as a file that a container runtime imports: no registry, no daemon. OCI image layout, uncompressed layers. */
import { createHash } from "node:crypto"
import { createReadStream, linkSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { run } from "../../bus/server/command.ts"
import { cache, state } from "./place.ts"

/** As in an image's configuration (image-spec, config.md). */
export interface ImageConfig {
  readonly Entrypoint: readonly string[]
  readonly Cmd?: readonly string[]
  readonly Env?: readonly string[]
  readonly User?: string
  readonly WorkingDir?: string
}

/** A tar file of everything in a folder, with nothing of the machine's in it: the same folder, the same bytes. */
export const layerOf = async (folder: string, file: string): Promise<string> => {
  await run("tar", ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-cf", file, "-C", folder, "."], { timeout: 120_000 })
  return file
}

/** Writes `file`, an archive of one image under all of the names. `layers`: tar files, lowest first. */
export const writeImage = async (file: string, names: readonly string[], layers: readonly string[], config: ImageConfig): Promise<void> => {
  // On the layers' file system: they are linked, not copied.
  const folder = mkdtempSync(join(cache(), "image."))
  const blobs = join(folder, "blobs", "sha256")
  mkdirSync(blobs, { recursive: true })
  const put = (value: object): { digest: string; size: number } => {
    const bytes = Buffer.from(JSON.stringify(value))
    const digest = createHash("sha256").update(bytes).digest("hex")
    writeFileSync(join(blobs, digest), bytes)
    return { digest: `sha256:${digest}`, size: bytes.length }
  }
  try {
    const described: { mediaType: string; digest: string; size: number }[] = []
    for (const layer of layers) {
      const hash = createHash("sha256")
      await pipeline(createReadStream(layer), hash)
      const digest = hash.digest("hex")
      linkSync(layer, join(blobs, digest))
      described.push({ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: `sha256:${digest}`, size: statSync(layer).size })
    }
    const platform = { architecture: process.arch === "x64" ? "amd64" : process.arch, os: "linux" }
    const image = put({ ...platform, config, rootfs: { type: "layers", diff_ids: described.map(({ digest }) => digest) } })
    const manifest = put({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: { mediaType: "application/vnd.oci.image.config.v1+json", ...image }, layers: described })
    const manifests = names.map((name) => ({ mediaType: "application/vnd.oci.image.manifest.v1+json", ...manifest, platform, annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1) } }))
    writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests }))
    writeFileSync(join(folder, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
    await run("tar", ["-cf", file, "-C", folder, "oci-layout", "index.json", "blobs"], { timeout: 120_000 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Where an image's archive is put for one start of the cluster. */
export const archivePath = (name: string): string => state("images", `${name.replaceAll(/[/:]/g, "_")}.tar`)
