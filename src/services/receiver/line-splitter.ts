/** A line longer than the limit, in whose place this stands. */
export const TOO_LONG = Symbol('a line that is too long')

const NEWLINE = 0x0a
/** A line of which so much was skipped will hardly come to an end. */
const SKIPPED_BYTES_MAX = 4 * 1024 * 1024

/**
 * Cuts a stream of bytes into lines, without their newlines. Holds at most one line and one chunk: what is over
 * `lineBytesMax` is skipped up to its end and told as `TOO_LONG`.
 */
export class LineSplitter {
  readonly #lineBytesMax: number
  #held: Buffer[] = []
  #heldBytes = 0
  #skipping = false
  #skippedBytes = 0

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** Whether so much came without a newline that reading on is not worth it. */
  get isEndless(): boolean {
    return this.#skippedBytes > SKIPPED_BYTES_MAX
  }

  *push(chunk: Buffer): Generator<Buffer | typeof TOO_LONG> {
    let start = 0
    let end = chunk.indexOf(NEWLINE)
    while (end !== -1) {
      yield this.#complete(chunk.subarray(start, end))
      start = end + 1
      end = chunk.indexOf(NEWLINE, start)
    }
    this.#hold(chunk.subarray(start))
  }

  /** The last line, where it has no newline. */
  *end(): Generator<Buffer | typeof TOO_LONG> {
    if (this.#heldBytes > 0 || this.#skipping) yield this.#complete(Buffer.alloc(0))
  }

  #complete(rest: Buffer): Buffer | typeof TOO_LONG {
    const tooLong = this.#skipping || this.#heldBytes + rest.byteLength > this.#lineBytesMax
    const line = tooLong ? TOO_LONG : this.#heldBytes === 0 ? rest : Buffer.concat([...this.#held, rest])
    this.#held = []
    this.#heldBytes = 0
    this.#skipping = false
    this.#skippedBytes = 0
    return line
  }

  #hold(rest: Buffer): void {
    if (this.#skipping) this.#skippedBytes += rest.byteLength
    if (rest.byteLength === 0 || this.#skipping) return
    this.#held.push(rest)
    this.#heldBytes += rest.byteLength
    if (this.#heldBytes <= this.#lineBytesMax) return
    this.#skipping = true
    this.#held = []
    this.#heldBytes = 0
  }
}

/** Whether a line holds nothing but white space, as the last one of a file often does. */
export function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false
  return true
}
