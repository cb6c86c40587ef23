import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { RunifyEvent } from '../../../events/catalogue.ts'
import { anyEvent } from '../../../events/testing/event.arbitrary.ts'
import type { Quarters } from '../days/quarter-hours.ts'
import {
  addQuarters,
  nextQuarter,
  packRollup,
  positionIn,
  readRollup,
  skipRollup,
  unpackRollup,
} from './packed-quarters.ts'
import { addEvent, EMPTY_ROLLUP, mergeRollups, type Rollup, toStatistics } from './rollup.ts'
import { RollupBuilder } from './rollup-builder.ts'

const anyPlaced = fc.record({
  quarter: fc.oneof(fc.constantFrom(0, 1, 2, 95, 671), fc.nat(671)),
  event: fc.oneof(
    anyEvent('running_stats'),
    anyEvent('music_info', { song_name: fc.constant('a'), artist: fc.constant('b') }),
  ),
})
const anyAdditions = fc.array(fc.array(anyPlaced, { maxLength: 12 }), { maxLength: 8 })

function quartersOf(placed: readonly { quarter: number; event: RunifyEvent }[]): Quarters {
  const quarters: Quarters = new Map()
  for (const { quarter, event } of placed) {
    const rollup = quarters.get(quarter) ?? { ...EMPTY_ROLLUP }
    addEvent(rollup, event)
    quarters.set(quarter, rollup)
  }
  return quarters
}

function unpack(bytes: Uint8Array): [number, Rollup][] {
  const place = positionIn(bytes)
  const found: [number, Rollup][] = []
  for (let quarter = nextQuarter(place); quarter !== -1; quarter = nextQuarter(place)) {
    found.push([quarter, readRollup(place)])
  }
  return found
}

const read = (entries: Iterable<[number, Rollup]>) =>
  [...entries].map(([quarter, rollup]) => [quarter, toStatistics(rollup)])

describe('Packed quarters', () => {
  test('have what was added to them, in order, however it was divided', () => {
    const property = fc.property(anyAdditions, (additions) => {
      let bytes: Uint8Array | undefined
      for (const placed of additions) bytes = addQuarters(bytes, quartersOf(placed))
      const expected = [...quartersOf(additions.flat())].sort(([a], [b]) => a - b)
      assert.deepEqual(read(unpack(bytes ?? new Uint8Array(0))), read(expected))
    })
    fc.assert(property, { numRuns: 200 })
  })

  test('are tallied to what merging them gives, some of them left out', () => {
    const property = fc.property(fc.array(anyPlaced, { maxLength: 30 }), fc.func(fc.boolean()), (placed, isWanted) => {
      const quarters = quartersOf(placed)
      const place = positionIn(addQuarters(undefined, quarters))
      const builder = new RollupBuilder()
      for (let quarter = nextQuarter(place); quarter !== -1; quarter = nextQuarter(place)) {
        if (isWanted(quarter)) builder.addPacked(place)
        else skipRollup(place)
      }
      const wanted = [...quarters].filter(([quarter]) => isWanted(quarter)).map(([, rollup]) => rollup)
      const merged = wanted.reduce<Readonly<Rollup>>(mergeRollups, EMPTY_ROLLUP)
      assert.deepEqual(toStatistics(builder.rollup()), toStatistics(merged))
    })
    fc.assert(property, { numRuns: 200 })
  })

  test('take rows larger than any before, and counts beyond 32 bits', () => {
    const many: Quarters = new Map()
    // 40 doubles that do not touch: as long as a sum can be.
    const sum = Array.from({ length: 40 }, (_, index) => 2 ** (-1000 + 50 * index))
    for (let quarter = 0; quarter < 672; quarter++) {
      const rollup = { ...EMPTY_ROLLUP, runs: 2 ** 53 - 1, plays: 2 ** 33 + quarter, max_distance: 1, max_duration: 2 }
      many.set(quarter, { ...rollup, distance: sum, run_duration: sum, song_duration: sum })
    }
    assert.deepEqual(unpack(addQuarters(undefined, many)), [...many])
    const [[, rollup] = []] = many
    assert.deepEqual(unpackRollup(packRollup(rollup as Rollup)), rollup)
    assert.ok(packRollup(rollup as Rollup).length <= 1024, 'it fits into its column')
  })
})
