import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RecordsTooLarge } from '../errors.ts'
import { type DeadLetter, decodeDeadLetter, writeDeadLetters } from './dead-letter.ts'
import type { EventLog, NewRecord } from './event-log.ts'

const BYTES_MAX = 2000

for (const [what, key, bytes, keptMin] of [
  ['bytes', 'a', 5000, 800],
  ['bytes and whose key', 'k'.repeat(5000), 5000, 0],
] as const) {
  test(`a record whose ${what} are more than the log takes as a letter stops nothing, and what there is room for is kept`, async () => {
    const taken: NewRecord[] = []
    const told: number[] = []
    const value = Buffer.alloc(bytes, 'x')
    const small = letterOf(1, { key: 'b', value: Buffer.from('small') })
    await writeDeadLetters({ log: smallLog(taken), telemetry: { deadLetter: ({ offset }) => told.push(offset) } }, [
      small,
      letterOf(2, { key, value }),
    ])
    const [first, second] = taken.map((record) => decodeDeadLetter(record.value))
    assert.deepEqual(first?.record.value, small.record.value)
    assert.deepEqual(told, [1, 2])
    assert.match(second?.detail ?? '', /^no event; the log takes only the first \d+ of its 5000 bytes here$/)
    const kept = second?.record.value ?? Buffer.alloc(0)
    assert.ok(kept.byteLength >= keptMin && value.subarray(0, kept.byteLength).equals(kept))
    assert.ok(key.startsWith(second?.record.key ?? '-'))
  })
}

function letterOf(offset: number, record: { key: string; value: Uint8Array }): DeadLetter {
  const at = { topic: 't', partition: 0, offset }
  return { reason: 'undecodable', detail: 'no event', ...at, record: { ...record, offset, appendTime: 0 } }
}

/** As a log of which a record may have no more than so much. */
function smallLog(taken: NewRecord[]): Pick<EventLog, 'append'> {
  return {
    append: async (records) => {
      const isLarge = ({ key, value }: NewRecord) => key.length + value.byteLength + 100 > BYTES_MAX
      taken.push(...records.filter((record) => !isLarge(record)))
      const indexes = [...records.keys()].filter((index) => isLarge(records[index] as NewRecord))
      if (indexes.length > 0) throw new RecordsTooLarge(indexes, BYTES_MAX)
    },
  }
}
