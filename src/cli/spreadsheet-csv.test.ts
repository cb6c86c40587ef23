import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { withoutFormulas } from './spreadsheet-csv.ts'

async function* inPieces(text: string, size: number) {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const convert = async (text: string, size = 7) => String(await buffer(withoutFormulas(inPieces(text, size))))
const field = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
const csv = (rows: readonly (readonly string[])[]) => rows.map((row) => `${row.map(field).join(',')}\r\n`).join('')

describe('CSV without formulas', () => {
  test('has an apostrophe before what would be one, in quotes too', async () => {
    const harmful = ['=1+1', '+1', '-1', '@SUM(A1)', '\tx', '=A1,B1', '=HYPERLINK("http://x","y")', '\rx']
    assert.equal(await convert(csv(harmful.map((text) => ['a', text]))), csv(harmful.map((text) => ['a', `'${text}`])))
  })

  test('is the same where nothing would be one', async () => {
    const text = csv([
      ['trace_id', 'song_name'],
      ['1', ''],
      ['', 'a=b'],
      ['Ångström', 'say "=1"'],
      ['a\n=1', 'x\r\n-y'],
    ])
    assert.equal(await convert(text), text)
  })

  test('is the same however the text is cut, and changes the beginnings of fields only', async () => {
    const text = fc.string({ unit: fc.constantFrom(...'=+-@\t\r\n",\'aé') })
    const rows = fc.array(fc.array(text, { minLength: 2, maxLength: 3 }), { maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 9 }), async (rows, size) => {
        const expected = rows.map((row) => row.map((text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text)))
        assert.equal(await convert(csv(rows), size), csv(expected))
      }),
    )
  })
})
