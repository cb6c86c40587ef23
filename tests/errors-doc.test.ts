import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { PROBLEMS, type ProblemCode } from '../src/http/problem.ts'

const COLUMNS = ['code', 'status', 'when', 'what the client does', 'what the operator does']
const DOCUMENT = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')

describe('docs/errors.md', () => {
  const [names, , ...rows] = tableOf(DOCUMENT)

  test('has a row for every code, and for nothing else, in the order of the code', () => {
    assert.deepEqual(names, COLUMNS)
    assert.deepEqual(
      rows.map(([code]) => code),
      Object.keys(PROBLEMS).map((code) => `\`${code}\``),
    )
  })

  test('says the status of each', () => {
    const statuses = Object.values(PROBLEMS).map(({ status }) => String(status))
    assert.deepEqual(
      rows.map(([, status]) => status),
      statuses,
    )
  })

  test('says in sentences when it comes and what to do', () => {
    for (const [code, , ...cells] of rows) {
      assert.equal(cells.length, COLUMNS.length - 2, `${code}`)
      for (const cell of cells) assert.match(cell, /^[A-Z`].*\.$/, `${code}`)
    }
  })

  test('shows a problem as it is answered', () => {
    const [, text] = /```json\n(.+?)```/s.exec(DOCUMENT) ?? assert.fail('there is no example')
    const example = JSON.parse(text as string) as { code: ProblemCode; type: string; title: string; status: number }
    assert.equal(example.type, `urn:runify:problem:${example.code}`)
    assert.deepEqual({ title: example.title, status: example.status }, PROBLEMS[example.code])
  })
})

/** The cells of the first table of a Markdown text, line by line. */
function tableOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'))
  return lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}
