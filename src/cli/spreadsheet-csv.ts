/** CSV for programs that are more than readers of CSV. */

/** Excel takes a file without it for one in its own legacy encoding. */
export const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

const [QUOTE, COMMA, CARRIAGE_RETURN, NEWLINE, APOSTROPHE] = Buffer.from('",\r\n\'') as unknown as [
  number,
  number,
  number,
  number,
  number,
]
/** What a spreadsheet takes for the beginning of a formula, by OWASP's page on CSV injection. */
const BEGINS_FORMULA = new Set(Buffer.from('=+-@\t\r'))

/**
 * Puts an apostrophe before each field that a spreadsheet would run as a formula: it shows the field as text then. Fields
 * are told as RFC 4180 writes them, across chunks; a carriage return begins a formula only within quotes.
 */
export async function* withoutFormulas(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let quoted = false
  let atStart = true
  for await (const chunk of chunks) {
    // Each byte may get an apostrophe at most.
    const out = Buffer.allocUnsafe(2 * chunk.length)
    let length = 0
    for (const byte of chunk) {
      const opens: boolean = atStart && !quoted && byte === QUOTE
      if (atStart && !opens) {
        const endsLine = !quoted && (byte === CARRIAGE_RETURN || byte === NEWLINE)
        if (BEGINS_FORMULA.has(byte) && !endsLine) out[length++] = APOSTROPHE
      }
      out[length++] = byte
      if (byte === QUOTE) quoted = !quoted
      atStart = opens || (!quoted && (byte === COMMA || byte === NEWLINE))
    }
    yield out.subarray(0, length)
  }
}
