/** One file out of a zip archive, which is what a wheel and a release are. */
import { crc32, inflateRawSync } from "node:zlib"

/** The first file whose name is wanted (PKWARE APPNOTE 4.3: central directory, stored or deflated). Throws when absent or damaged. */
export const fileInZip = (zip: Buffer, wanted: (name: string) => boolean): Buffer => {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]))
  if (end < 0) throw new Error("not a zip archive")
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const [nameLength, extraLength, commentLength] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32)]
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength)
    if (wanted(name)) {
      const local = zip.readUInt32LE(at + 42)
      const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
      const body = zip.subarray(start, start + zip.readUInt32LE(at + 20))
      const content = zip.readUInt16LE(at + 10) === 0 ? body : inflateRawSync(body)
      if (crc32(content) !== zip.readUInt32LE(at + 16)) throw new Error(`${name} is damaged in the archive`)
      return content
    }
    at += 46 + nameLength + extraLength + commentLength
  }
  throw new Error("the archive does not hold the file")
}
