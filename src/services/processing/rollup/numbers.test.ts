import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { CATALOGUE, EVENT_TYPES, fieldsOf, type RunifyEvent } from '../../../events/catalogue.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import { recordsOf } from '../days/records.ts'
import { foldEvents } from '../fold.ts'
import { rowsOf } from '../store/tables/play-tables.ts'
import { addRun, emptyBestRuns } from './best-runs.ts'
import { decodeSum, encodeSum, mergeSums } from './exact-sum.ts'
import { addQuarters, packRollup, unpackRollup } from './packed-quarters.ts'
import { toStatistics } from './rollup.ts'

/** Doubles at the edges, which come far more often here than by chance. */
const edges = fc.constantFrom(0, 5e-324, 1e-310, 2.3e-308, 1e-9, 0.1, 9_999_999.999_999_998)
const lastDay = { trace_id: fc.uuid(), timestamp: fc.integer({ min: 0, max: 86_399_999 }) }
/** Any events that pass the door, of any instant, and some that share a quarter hour. */
const anyEvents = fc.array(
  fc.oneof(
    ...EVENT_TYPES.map((type) => anyEvent(type)),
    anyEvent('running_stats', { ...lastDay, distance: edges, duration: edges }),
    anyEvent('music_info', { ...lastDay, song_duration: edges.map((value) => Math.min(value, 86_400)) }),
  ),
  { maxLength: 60 },
)

describe('The numbers of any events', () => {
  test('are folded without fail, and every sum, average and maximum is one that JSON and a table hold', () => {
    fc.assert(
      fc.property(anyEvents, (events) => {
        const { days, hours, plays } = foldEvents(events)
        for (const { total } of [...days.scopes, ...days.spans]) {
          const read = unpackRollup(packRollup(total))
          assert.deepEqual(read, total)
          checkNumbers(toStatistics(read))
        }
        for (const { quarters } of days.spans)
          assert.ok(addQuarters(addQuarters(undefined, quarters), quarters).length > 0)
        for (const { hour, events: count, fingerprint } of hours) checkNumbers({ hour, count, fingerprint })
        for (const { key, count } of Object.values(rowsOf(plays)).flat()) {
          checkNumbers(key.filter((value) => typeof value === 'number'))
          checkNumbers(mergeSums(decodeSum(encodeSum(count.seconds)), count.seconds))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('make records that JSON holds', () => {
    fc.assert(
      fc.property(anyEvents, (events) => {
        const best = emptyBestRuns()
        for (const event of events)
          if (event.type === 'running_stats') addRun(best, event as RunifyEvent<'running_stats'>)
        checkNumbers(recordsOf({ best, days: [], time_zone: undefined }))
      }),
      { numRuns: 300 },
    )
  })

  test('of a run of 1e-310 m have no pace', () => {
    const best = emptyBestRuns()
    const fields = { user_id: '', distance: 1e-310, duration: 1800, timestamp: 0 }
    addRun(best, { type: 'running_stats', trace_id: '0190f1ee-6c54-7b01-90e6-d701748f0851', date_created: 0, fields })
    const { longest_distance } = recordsOf({ best, days: [], time_zone: undefined })
    assert.deepEqual([longest_distance?.distance, longest_distance?.pace], [1e-310, null])
  })

  test('have bounds within which no sum of as many as can be counted overflows', () => {
    for (const type of EVENT_TYPES) {
      for (const [name, field] of fieldsOf(type)) {
        if (field.kind !== 'number') continue
        assert.ok(
          field.min >= 0 && Number.isFinite(field.max * Number.MAX_SAFE_INTEGER),
          `${CATALOGUE[type].topic} ${name}`,
        )
      }
    }
  })
})

/** What JSON gives back is what it was given: no NaN, no infinity, no -0. */
function checkNumbers(value: unknown): void {
  assert.deepEqual(JSON.parse(JSON.stringify(value)), value)
}
