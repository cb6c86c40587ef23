import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { CATALOGUE, type EventType, type RunifyEvent } from '../../../events/catalogue.ts'
import { type DeadLetterReason, encodeDeadLetter } from '../../../log/dead-letter.ts'
import { encodeTombstone } from '../../../log/tombstone.ts'
import { columnsOf, type StoredEvent } from '../../../store/columns.ts'
import { newPlay, newRun } from '../../../store/testing/event-store.probe.ts'
import { REFUSED_SONG } from '../../processing/testing/refused-song.fixture.ts'
import { redrive } from './analyzer.fixture.ts'
import { type AuditAnswer, append, audit, type Flow, totalOf } from './audit.fixture.ts'

const RUNS = CATALOGUE.running_stats.topic
const NOTHING = { missing: [], doubled: [], changed: [] }

/** What `GET /audit` promises, whatever log and database there are. `live`: Storage runs all the time. */
export function auditContract(name: string, open: () => Promise<Flow>, { live = false } = {}): void {
  describe(`An audit on ${name}`, () => {
    test('finds all as it should be, repeats, dead letters and what is not counted yet among it', async () => {
      await using flow = await open()
      const { log, address } = flow
      const events = [...runs(60), ...plays(40)]
      await append(log, events)
      await append(log, events.slice(50, 70))
      await append(log, [conflictOf(events[0] as RunifyEvent), conflictOf(events[99] as RunifyEvent)])
      await log.append([{ topic: RUNS, key: 'a', value: Buffer.from('{}') }])
      await flow.settle()
      const answer = await audit(address)
      assert.deepEqual([answer.equal, answer.complete, answer.differences], [true, true, NOTHING])
      const expected = {
        in_log: 122,
        repeats: 20,
        accepted: 102,
        stored: 100,
        counted: 100,
        dead_letters: 2,
        undecodable: 1,
      }
      for (const [name, count] of Object.entries(expected)) assert.equal(totalOf(answer, name), count, name)
      assert.deepEqual(typesOf(answer), ['music_info', 'running_stats'])

      await append(log, runs(10))
      await flow.settle({ counted: false })
      const later = await audit(address)
      assert.deepEqual([later.equal, totalOf(later, 'stored'), totalOf(later, 'not_counted_yet')], [true, 110, 10])
    })

    if (!live) {
      test('takes what Storage has not read yet for pending', async () => {
        await using flow = await open()
        await append(flow.log, [...runs(5), ...plays(5)])
        const before = await audit(flow.address)
        assert.deepEqual([before.equal, totalOf(before, 'pending'), totalOf(before, 'stored')], [true, 10, 0])
        await flow.settle()
        await append(flow.log, runs(3))
        const after = await audit(flow.address)
        assert.deepEqual([after.equal, totalOf(after, 'pending'), totalOf(after, 'stored')], [true, 3, 10])
      })
    }

    test('finds nothing wrong while events keep coming, and while they are stored and counted', async () => {
      await using flow = await open()
      const work = async () => {
        for (let n = 0; n < 6; n++) {
          await append(flow.log, [...runs(20), ...plays(20)])
          await flow.settle({ counted: n % 2 === 0 })
        }
      }
      await append(flow.log, runs(500))
      for (let n = 0; n < 4; n++) {
        const [{ equal, complete, differences }] = await Promise.all([audit(flow.address), work()])
        assert.deepEqual([equal, complete, differences], [true, true, NOTHING])
      }
      await flow.settle()
      const answer = await audit(flow.address)
      const [accepted, stored, counted] = ['accepted', 'stored', 'counted'].map((name) => totalOf(answer, name))
      assert.ok(accepted !== undefined && accepted > 0)
      assert.deepEqual([stored, counted, answer.equal], [accepted, accepted, true])
    })

    test('names a row that was deleted', async () => {
      await using flow = await open()
      const { deleted, changed: _ } = await fill(flow)
      await flow.sql(`DELETE FROM ${deleted.event.type} WHERE trace_id = ${idOf(deleted)}`)
      const { equal, differences, hours } = await audit(flow.address)
      assert.equal(equal, false)
      assert.deepEqual(placesOf(differences.missing), [placeOf(deleted)])
      assert.deepEqual([differences.doubled, differences.changed], [[], []])
      const hour = hours.find(({ missing }) => missing === 1)
      // The statistics have counted it: they are not what a recount gives any more.
      assert.deepEqual([hour?.type, hour?.equal, hour?.rightly_counted], [deleted.event.type, false, false])
    })

    for (const [where, place] of Object.entries({
      'behind all that is stored': { partition: 'log_partition', offset: 'log_offset + 1000000' },
      'in a partition that there is not': { partition: '77', offset: 'log_offset' },
      'before the beginning': { partition: 'log_partition', offset: '-1 - log_offset' },
    })) {
      test(`names a row that was doubled ${where}`, async () => {
        await using flow = await open()
        const { changed: original } = await fill(flow)
        const copy = randomUUID()
        const { type } = original.event
        const others = columnsOf(type).slice(3)
        await flow.sql(
          `INSERT INTO ${type} (log_partition, log_offset, trace_id, ${others}) ` +
            `SELECT ${place.partition}, ${place.offset}, X'${hex(copy)}', ${others} FROM ${type} WHERE trace_id = ${idOf(original)}`,
        )
        const { equal, differences } = await audit(flow.address)
        assert.equal(equal, false)
        assert.deepEqual(
          differences.doubled.map(({ trace_id }) => trace_id),
          [copy],
        )
        assert.deepEqual([differences.missing, differences.changed], [[], []])
      })
    }

    test('names a row that was moved, and one that was given another id', async () => {
      await using flow = await open()
      const { deleted: moved, changed: renamed } = await fill(flow)
      await flow.sql(`UPDATE ${moved.event.type} SET log_offset = 5000 WHERE trace_id = ${idOf(moved)}`)
      const id = randomUUID()
      await flow.sql(`UPDATE ${renamed.event.type} SET trace_id = X'${hex(id)}' WHERE trace_id = ${idOf(renamed)}`)
      const { equal, differences } = await audit(flow.address)
      assert.equal(equal, false)
      assert.deepEqual(differences.doubled.map(({ trace_id }) => trace_id).sort(), [moved.event.trace_id, id].sort())
      assert.deepEqual(placesOf(differences.missing), [placeOf(renamed)])
      assert.deepEqual(differences.changed, [])
    })

    test('names a row that was changed, and says what in it', async () => {
      await using flow = await open()
      const { deleted: later, changed } = await fill(flow)
      const column = changed.event.type === 'running_stats' ? 'distance' : 'song_duration'
      await flow.sql(`UPDATE ${changed.event.type} SET ${column} = ${column} + 1 WHERE trace_id = ${idOf(changed)}`)
      await flow.sql(`UPDATE ${later.event.type} SET date_created = date_created + 1 WHERE trace_id = ${idOf(later)}`)
      const { equal, differences } = await audit(flow.address)
      assert.equal(equal, false)
      assert.deepEqual(placesOf(differences.changed), [placeOf(changed), placeOf(later)].sort())
      const details = differences.changed.map(({ detail }) => detail).join(' ')
      assert.match(details, new RegExp(`another ${column} than`))
      assert.match(details, /another date_created than/)
      assert.deepEqual([differences.missing, differences.doubled], [[], []])
    })

    test('names each of many, the first hundred of a kind', async () => {
      await using flow = await open()
      await fill(flow)
      await append(flow.log, runs(300))
      await flow.settle()
      await flow.sql('DELETE FROM running_stats')
      const answer = await audit(flow.address)
      assert.deepEqual([answer.equal, answer.complete, totalOf(answer, 'stored')], [false, true, 40])
      assert.equal(totalOf(answer, 'missing'), 340)
      const named = answer.differences.missing.map(({ trace_id }) => trace_id)
      assert.deepEqual([named.length, new Set(named).size], [100, 100])
    })

    test('takes what was received of a user who was forgotten for forgotten, and what came later for stored', async () => {
      await using flow = await open()
      const { user_id } = newRun().fields
      const ofUser = (count: number) => [
        ...runs(count).map((event) => ({ ...event, fields: { ...event.fields, user_id } }) as RunifyEvent),
        ...plays(count),
      ]
      await append(flow.log, ofUser(30))
      await flow.settle()
      const forgotten_at = Date.now()
      await flow.log.append([encodeTombstone({ request_id: randomUUID(), user_id, forgotten_at })])
      await flow.settle({ counted: false })
      await append(
        flow.log,
        ofUser(5).map((event) => ({ ...event, date_created: forgotten_at + 1 }) as RunifyEvent),
      )
      await flow.settle({ counted: false })
      const answer = await audit(flow.address)
      assert.deepEqual([totalOf(answer, 'forgotten'), totalOf(answer, 'stored'), answer.differences], [30, 40, NOTHING])
    })

    test('takes a dead letter that was redriven for stored when it is', async () => {
      await using flow = await open()
      const { log, store } = flow
      await fill(flow)
      const event = runs(1)[0] as RunifyEvent
      await append(log, [event])
      await flow.settle()
      const stored = (await store.event(event.trace_id)) as StoredEvent
      // As if the database had not taken it then.
      await flow.sql(`DELETE FROM running_stats WHERE trace_id = ${idOf(stored)}`)
      assert.equal(totalOf(await audit(flow.address), 'missing'), 1)
      await writeLetters(flow, stored, 'unjudged')
      assert.equal(
        totalOf(await audit(flow.address), 'missing'),
        1,
        'that the detector cannot judge it explains nothing',
      )
      await writeLetters(flow, stored)
      const dead = await audit(flow.address)
      assert.deepEqual([totalOf(dead, 'dead_letters'), totalOf(dead, 'missing')], [1, 0])
      assert.deepEqual((await redrive(flow.address, { filter: {} })).counts, { redriven: 1 })
      await flow.settle({ counted: false })
      const answer = await audit(flow.address)
      assert.deepEqual(
        [totalOf(answer, 'dead_letters'), totalOf(answer, 'repeats'), totalOf(answer, 'accepted')],
        [0, 1, 81],
      )
      assert.deepEqual([totalOf(answer, 'stored'), answer.differences], [81, NOTHING])
    })

    test('takes what the statistics refuse for set aside, by name, and for no difference', async () => {
      await using flow = await open()
      await fill(flow)
      await flow.refuseSong()
      const refused = newPlay({ song_name: REFUSED_SONG })
      const events = [...plays(7), { ...refused, date_created: Date.now() } as RunifyEvent, ...plays(7), ...runs(5)]
      await append(flow.log, events)
      await flow.settle()
      const answer = await audit(flow.address)
      assert.deepEqual([answer.equal, answer.complete, answer.differences], [true, true, NOTHING])
      const totals = ['stored', 'counted', 'uncounted', 'dead_letters'].map((name) => totalOf(answer, name))
      assert.deepEqual(totals, [100, 99, 1, 0])
      assert.deepEqual(
        answer.uncounted.map(({ trace_id }) => trace_id),
        [refused.trace_id],
      )
      assert.match(answer.uncounted[0]?.detail ?? '', /^the statistics' database refuses what it adds: /)

      // To send it again would not count it.
      const { counts, results } = await redrive(flow.address, { filter: {} })
      assert.deepEqual(counts, { uncounted: 1 })
      assert.match(results[0]?.detail ?? '', /npx runify rebuild statistics/)
    })

    test('finds what was appended long after it was received, and what is wrong with it', async () => {
      await using flow = await open()
      const received = Date.now() - 24 * 3_600_000
      const events = [...runs(20), ...plays(20)].map((event) => ({ ...event, date_created: received }) as RunifyEvent)
      await append(flow.log, events)
      await flow.settle()
      const answer = await audit(flow.address, { hours: 24 })
      assert.deepEqual([answer.equal, totalOf(answer, 'accepted'), totalOf(answer, 'stored')], [true, 40, 40])
      assert.deepEqual((await audit(flow.address)).hours, [])
      await flow.sql(`UPDATE music_info SET artist = 'nobody' WHERE trace_id = X'${hex(events[30]?.trace_id ?? '')}'`)
      const { differences } = await audit(flow.address, { hours: 24 })
      assert.deepEqual(
        differences.changed.map(({ trace_id }) => trace_id),
        [events[30]?.trace_id],
      )
    })

    test('says nothing of an hour of which retention has removed the log', async () => {
      await using flow = await open()
      await fill(flow)
      for (const { partition, next } of await flow.log.partitions(RUNS)) {
        await flow.deleteBefore({ topic: RUNS, partition, offset: Math.ceil(next / 2) })
      }
      const answer = await audit(flow.address)
      assert.deepEqual([answer.equal, answer.differences], [false, NOTHING])
      for (const { type, equal } of answer.hours) assert.equal(equal, type === 'running_stats' ? null : true)
      assert.equal(totalOf(answer, 'stored'), 80)
    })

    test('is of whole hours, and not of too many', async () => {
      await using flow = await open()
      for (const [from, to, pointer] of [
        ['2024-05-01T00:00:00Z', '2024-05-01T00:00:00Z', '/to'],
        ['2024-05-01T00:00:00Z', '2024-04-01T00:00:00Z', '/to'],
        ['2024-05-01T00:00:00Z', '2024-06-02T00:00:00Z', '/to'],
        ['2024-05-01T00:30:00Z', '2024-05-01T02:00:00Z', '/from'],
        ['2024-05-01T00:00:00Z', '2024-05-01T02:00:00.001Z', '/to'],
      ]) {
        const response = await fetch(`${flow.address}/audit?from=${from}&to=${to}`)
        const { code, errors } = (await response.json()) as { code: string; errors: { pointer: string }[] }
        assert.deepEqual([response.status, code, errors[0]?.pointer], [400, 'invalid_parameter', pointer])
      }
    })
  })
}

function runs(count: number): RunifyEvent[] {
  return Array.from({ length: count }, () => ({ ...newRun(), date_created: Date.now() }))
}

function plays(count: number): RunifyEvent[] {
  return Array.from({ length: count }, () => ({ ...newPlay(), date_created: Date.now() }))
}

/** Another event with the same id. */
function conflictOf(event: RunifyEvent): RunifyEvent {
  return { ...event, fields: { ...event.fields, timestamp: event.fields.timestamp + 1000 } } as RunifyEvent
}

/** 40 of each type, stored and counted; a run and a play to damage. */
async function fill(flow: Flow): Promise<{ deleted: StoredEvent; changed: StoredEvent }> {
  const events = [...runs(40), ...plays(40)]
  await append(flow.log, events)
  await flow.settle()
  const find = async (at: number) => (await flow.store.event(events[at]?.trace_id as string)) as StoredEvent
  return { deleted: await find(17), changed: await find(63) }
}

async function writeLetters(
  { log }: Flow,
  { partition, offset, event }: StoredEvent,
  reason: DeadLetterReason = 'unstorable',
): Promise<void> {
  const { topic } = CATALOGUE[event.type]
  const [record] = await log.read({ topic, partition, from: offset, limit: 1 })
  assert.ok(record)
  const letter = { reason, detail: 'it was not taken', topic, partition, offset, record } as const
  await log.append([encodeDeadLetter(letter, Date.now())])
}

function typesOf({ hours }: AuditAnswer): EventType[] {
  return [...new Set(hours.map(({ type }) => type as EventType))].sort()
}

function hex(id: string): string {
  return id.replaceAll('-', '')
}

/** The id as both databases take it. */
function idOf({ event }: StoredEvent): string {
  return `X'${hex(event.trace_id)}'`
}

function placeOf({ event, partition, offset }: StoredEvent): string {
  return `${event.type} ${event.trace_id} ${partition}:${offset}`
}

function placesOf(differences: AuditAnswer['differences']['missing']): string[] {
  return differences.map(({ type, trace_id, partition, offset }) => `${type} ${trace_id} ${partition}:${offset}`).sort()
}
