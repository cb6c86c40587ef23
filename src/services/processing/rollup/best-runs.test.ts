import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { RunifyEvent } from '../../../events/catalogue.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import { recordsOf } from '../days/records.ts'
import { recountRecords } from '../testing/days.reference.ts'
import { addRun, type BestRuns, decodeBestRuns, emptyBestRuns, encodeBestRuns, mergeBestRuns } from './best-runs.ts'

/** Few different values, so that runs tie. */
const anyRuns = fc.uniqueArray(
  anyEvent('running_stats', {
    timestamp: fc.constantFrom(0, 1000, 86_400_000),
    distance: fc.constantFrom(0, 0.5, 999.999, 1000, 5000, 10_000, 21_100, 42_200, 50_000),
    duration: fc.constantFrom(0, 1, 300, 3600),
  }) as fc.Arbitrary<RunifyEvent<'running_stats'>>,
  { selector: ({ trace_id }) => trace_id, maxLength: 25 },
)

function bestOf(runs: readonly RunifyEvent<'running_stats'>[]): BestRuns {
  const best = emptyBestRuns()
  for (const run of runs) addRun(best, run)
  return best
}

function runsOf({ fastest_pace, longest_distance, longest_duration }: ReturnType<typeof recountRecords>) {
  return { fastest_pace, longest_distance, longest_duration }
}

describe('The best runs', () => {
  test('are those that sorting all runs gives, in whatever order and pieces they come, through their bytes', () => {
    const property = fc.property(anyRuns, fc.nat(25), fc.infiniteStream(fc.nat()), (runs, cut, order) => {
      const shuffled = runs.map((run) => ({ run, at: order.next().value ?? 0 })).sort((a, b) => a.at - b.at)
      const some = shuffled.map(({ run }) => run)
      const merged = mergeBestRuns(bestOf(some.slice(0, cut)), decodeBestRuns(encodeBestRuns(bestOf(some.slice(cut)))))
      assert.deepEqual(
        runsOf(recordsOf({ best: merged, days: [], time_zone: undefined })),
        runsOf(recountRecords(runs, {})),
      )
    })
    fc.assert(property, { numRuns: 300 })
  })

  test('fit into their column', () => {
    const best = bestOf([])
    for (const index of best.keys()) {
      const trace_id = `0000000${index}-6c54-4b01-90e6-d701748f0851`
      best[index] = { trace_id, timestamp: -62_167_219_200_000, distance: 0.1, duration: 1e-5 }
    }
    assert.deepEqual(decodeBestRuns(encodeBestRuns(best)), best)
    assert.ok(encodeBestRuns(best).length <= 512)
  })
})
