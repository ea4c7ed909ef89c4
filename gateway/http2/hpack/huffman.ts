/** The Huffman code of RFC 7541 Appendix B. */

const EOS = 256
/** Bits of each octet's code, and of EOS. The code is canonical (§5.2), so the lengths give the codes. */
const lengths = Uint8Array.of(
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
)

const codes = ((): Uint32Array => {
  const assigned = new Uint32Array(lengths.length)
  let code = 0
  for (let length = 1; length <= 30; length++) {
    for (let symbol = 0; symbol < lengths.length; symbol++) if (lengths[symbol] === length) assigned[symbol] = code++
    code *= 2
  }
  return assigned
})()

// A step of decoding takes 4 bits: the state is the inner node of the code's tree that has been reached (256 of them),
// and no code is shorter than 5 bits, so a step completes one octet at most.
const OCTET_SHIFT = 8
const COMPLETES = 1 << 16
/** EOS, complete (§5.2: a decoding error). */
const ENDS = 1 << 17
const steps = new Uint32Array(256 * 16)
/** States in which a string may end: fewer than 8 bits, all ones, since the last octet (§5.2). */
const isEnd = new Uint8Array(256)

const buildSteps = (): void => {
  /** Per inner node what follows a 0 and a 1: an inner node, or -1 - symbol. */
  const next = new Int16Array(2 * 256)
  let nodes = 1
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const [length, code] = [lengths[symbol] ?? 0, codes[symbol] ?? 0]
    let node = 0
    for (let bit = length - 1; bit > 0; bit--) {
      const way = 2 * node + ((code >>> bit) & 1)
      if (next[way] === 0) next[way] = nodes++
      node = next[way] ?? 0
    }
    next[2 * node + (code & 1)] = -1 - symbol
  }
  for (let state = 0; state < 256; state++) {
    for (let bits = 0; bits < 16; bits++) {
      let [node, step] = [state, 0]
      for (let bit = 3; bit >= 0; bit--) {
        node = next[2 * node + ((bits >>> bit) & 1)] ?? 0
        if (node >= 0) continue
        const symbol = -1 - node
        step |= symbol === EOS ? ENDS : COMPLETES | (symbol << OCTET_SHIFT)
        node = 0
      }
      steps[state * 16 + bits] = step | node
    }
  }
  for (let [node, depth] = [0, 0]; depth < 8; depth++) {
    isEnd[node] = 1
    node = next[2 * node + 1] ?? 0
  }
}
buildSteps()

/** Octets that `length` octets decode to at most. */
export const mostDecoded = (length: number): number => Math.floor((length * 8) / 5)

/** Decodes octets start … end into `to`, which has room for mostDecoded(). Returns how many they are; -1: not a valid string. */
export const huffmanDecode = (octets: Uint8Array, start: number, end: number, to: Uint8Array): number => {
  let state = 0
  let length = 0
  for (let at = start; at < end; at++) {
    const octet = octets[at] ?? 0
    let step = steps[(state << 4) | (octet >>> 4)] ?? ENDS
    if (step >= COMPLETES) {
      if (step >= ENDS) return -1
      to[length++] = (step >>> OCTET_SHIFT) & 255
    }
    step = steps[((step & 255) << 4) | (octet & 15)] ?? ENDS
    if (step >= COMPLETES) {
      if (step >= ENDS) return -1
      to[length++] = (step >>> OCTET_SHIFT) & 255
    }
    state = step & 255
  }
  return isEnd[state] === 1 ? length : -1
}

/** Octets of latin1 `text` when encoded. */
export const huffmanLength = (text: string): number => {
  let bits = 0
  for (let i = 0; i < text.length; i++) bits += lengths[text.charCodeAt(i) & 255] ?? 0
  return (bits + 7) >>> 3
}

/** Encodes latin1 `text` at `at`; there is room for huffmanLength(). Returns the position after it. */
export const huffmanEncode = (text: string, to: Uint8Array, at: number): number => {
  // At most 7 bits wait before a code is added, so that codes of up to 24 bits fit as they are.
  let waiting = 0
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 255
    let code = codes[symbol] ?? 0
    let length = lengths[symbol] ?? 0
    if (length > 24) {
      waiting = (waiting << 16) | (code >>> (length - 16))
      to[at++] = waiting >>> (count + 8)
      to[at++] = waiting >>> count
      length -= 16
      code &= (1 << length) - 1
      waiting &= (1 << count) - 1
    }
    waiting = (waiting << length) | code
    count += length
    while (count >= 8) {
      count -= 8
      to[at++] = waiting >>> count
    }
    waiting &= (1 << count) - 1
  }
  // §5.2: filled up with the first bits of EOS, which are ones.
  if (count > 0) to[at++] = (waiting << (8 - count)) | (0xff >>> count)
  return at
}
