import assert from 'node:assert/strict'
import type { AnswerKind } from './guide.ts'

/** Checks that an answer is of the form that a guide shows: the same members and types, whatever the values are. */
export function assertShape(answer: string, { kind, text }: { kind: AnswerKind; text: string }): void {
  if (kind === 'csv') {
    assert.equal(answer.split(/\r?\n/, 1)[0], text.split('\n', 1)[0], 'the line of names')
    return
  }
  const read = (json: string) => (kind === 'json' ? (JSON.parse(json) as unknown) : linesOf(json))
  const difference = differenceOf(read(answer), read(text), '')
  assert.equal(difference, undefined, `${difference}\nThe answer is: ${answer.slice(0, 2000)}`)
}

function linesOf(ndjson: string): unknown[] {
  const lines = ndjson.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as unknown)
}

/** What is other in `actual` than in `expected`, in words; undefined where nothing is. Each element of a list must be like one of those that are shown. */
function differenceOf(actual: unknown, expected: unknown, at: string): string | undefined {
  const [is, should] = [typeOf(actual), typeOf(expected)]
  if (is !== should) return `${at || 'the answer'} is of type ${is}, the guide shows ${should}`
  if (Array.isArray(actual)) return listDifference(actual, expected as unknown[], at)
  if (is !== 'object') return undefined
  const [members, shown] = [actual as Record<string, unknown>, expected as Record<string, unknown>]
  for (const name of Object.keys(members)) if (!Object.hasOwn(shown, name)) return `${at}/${name} is not in the guide`
  for (const [name, value] of Object.entries(shown)) {
    if (!Object.hasOwn(members, name)) return `${at}/${name} is in the guide only`
    const difference = differenceOf(members[name], value, `${at}/${name}`)
    if (difference !== undefined) return difference
  }
  return undefined
}

function listDifference(actual: readonly unknown[], shown: readonly unknown[], at: string): string | undefined {
  if ((actual.length === 0) !== (shown.length === 0)) {
    return `${at || 'the answer'} has ${actual.length} elements, the guide shows ${shown.length}`
  }
  for (const [index, element] of actual.entries()) {
    const differences = shown.map((one) => differenceOf(element, one, `${at}/${index}`))
    if (differences.every((difference) => difference !== undefined)) return differences[0]
  }
  return undefined
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}
