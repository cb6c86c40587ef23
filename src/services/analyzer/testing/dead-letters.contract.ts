import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Failure } from '../../../errors.ts'
import { encodeEvent } from '../../../events/codec.ts'
import { DEAD_LETTER_TOPIC, type DeadLetter } from '../../../log/dead-letter.ts'
import type { EventLog } from '../../../log/event-log.ts'
import { readAll } from '../../../log/testing/event-log.probe.ts'
import { newPlay, newRun } from '../../../store/testing/event-store.probe.ts'
import {
  dismiss,
  type Json,
  type LogUnderTest,
  letterOf,
  listen,
  readPages,
  redrive,
  writeLetters,
} from './analyzer.fixture.ts'

const RUNS = 'runify.running_stats'

/** What `GET /dead-letters` and `POST /dead-letters/redrive` promise on any log. */
export function deadLettersContract(name: string, open: () => Promise<LogUnderTest>, { numRuns = 15 } = {}): void {
  describe(`Dead letters on ${name}`, () => {
    describe('are listed', () => {
      test('with the reason, where the record was, and as much of it as can be shown', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        assert.deepEqual(await listOf(address), [])
        const event = newPlay({ song_name: '夜に駆ける 𝄞' })
        const long = Buffer.from(`"${'𝄞'.repeat(5000)}"`)
        await writeLetters(log, letterOf(3, { event, reason: 'conflict', detail: 'its trace_id is stored' }))
        await nextMillisecond()
        await writeLetters(
          log,
          letterOf(4, { value: Buffer.from([0xff, 0x00, 0x7b]), reason: 'undecodable', detail: 'why' }),
        )
        await nextMillisecond()
        await writeLetters(log, letterOf(5, { value: long, reason: 'undecodable' }))

        const [third, second, first] = await listOf(address)
        const { id, first_time, last_time, ...told } = first as Json
        assert.equal(first_time, last_time)
        assert.match(id as string, /^\d+-\d+$/)
        assert.deepEqual(told, {
          reason: 'conflict',
          detail: 'its trace_id is stored',
          type: 'music_info',
          topic: 'runify.music_info',
          partition: 0,
          offset: 3,
          key: event.fields.user_id,
          append_time: '2024-01-01T00:00:00.000Z',
          bytes: encodeEvent(event).byteLength,
          text: encodeEvent(event).toString(),
          truncated: false,
          times: 1,
          redriven: 'no',
          redriven_time: null,
          attempts: 0,
          ancestor: null,
          dismissed_time: null,
        })
        assert.deepEqual([second?.base64, second?.text, second?.bytes], ['/wB7', undefined, 3])
        // Cut off where a character ends.
        assert.deepEqual([third?.text, third?.truncated], [`"${'𝄞'.repeat(1023)}`, true])
      })

      test('each once, however often it was put there, at its first place', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        const letters = [letterOf(1), letterOf(2), letterOf(3)]
        await writeLetters(log, ...letters)
        const before = await listOf(address)
        await writeLetters(log, ...letters, letters[0] as DeadLetter)
        const after = await listOf(address)
        const still = ({ times: _, last_time: __, ...others }: Json) => others
        assert.deepEqual(after.map(still), before.map(still))
        const timesOf = new Map(after.map(({ offset, times }) => [offset, times]))
        assert.deepEqual(
          [1, 2, 3].map((offset) => timesOf.get(offset)),
          [3, 2, 2],
        )
        for (const { first_time, last_time } of after) assert.ok((first_time as string) <= (last_time as string))
      })

      test('as a naive filter and sort of all of them would, in pages of any size, either way round', async () => {
        const users = [newRun(), newRun()].map(({ fields }) => fields.user_id)
        const anyLetter = fc
          .record({
            n: fc.nat(30),
            reason: fc.constantFrom('undecodable', 'conflict', 'unstorable'),
            isRun: fc.boolean(),
            user_id: fc.constantFrom(...users),
          })
          .map(({ n, reason, isRun, user_id }) =>
            letterOf(n, { reason, event: isRun ? newRun({ user_id }) : newPlay({ user_id }) }),
          )
        const anyFilter = fc.record(
          {
            reason: fc.constantFrom('undecodable', 'conflict', 'unstorable'),
            type: fc.constantFrom('running_stats', 'music_info'),
            user_id: fc.constantFrom(...users),
          },
          { requiredKeys: [] },
        )
        const property = fc.asyncProperty(
          fc.array(fc.array(anyLetter, { maxLength: 8 }), { maxLength: 8 }),
          anyFilter,
          fc.integer({ min: 1, max: 7 }),
          async (bursts, filter, limit) => {
            await using opened = await start(open)
            const { log, address } = opened
            for (const burst of bursts) await writeLetters(log, ...burst)
            const expected = (await naiveList(log)).filter(
              (letter) =>
                (filter.reason === undefined || letter.reason === filter.reason) &&
                (filter.type === undefined || letter.topic === `runify.${filter.type}`) &&
                (filter.user_id === undefined || letter.key === filter.user_id),
            )
            for (const order of ['asc', 'desc'] as const) {
              const query = new URLSearchParams({ ...filter, order, limit: String(limit) })
              const pages = await readPages(address, `/dead-letters?${query}`)
              for (const page of pages) assert.ok(page.length <= limit)
              const ids = pages.flat().map(({ id, times }) => `${id} ${times}`)
              const wanted = expected.map(({ id, times }) => `${id} ${times}`)
              assert.deepEqual(ids, order === 'asc' ? wanted : wanted.reverse())
            }
          },
        )
        await fc.assert(property, { numRuns })
      })

      test('of a range of time', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        for (const n of [1, 2, 3, 4]) {
          await writeLetters(log, letterOf(n))
          await nextMillisecond()
        }
        const all = (await listOf(address, 'order=asc')).map(({ id, first_time }) => ({ id, first_time }))
        const [, from, , to] = all.map(({ first_time }) => first_time as string)
        const found = await listOf(address, `order=asc&from=${from}&to=${to}`)
        assert.deepEqual(
          found.map(({ id, first_time }) => ({ id, first_time })),
          all.slice(1, 3),
        )
      })

      test('while retention removes the oldest, and more come', async () => {
        await using opened = await start(open)
        const { log, address, deleteBefore } = opened
        for (let n = 0; n < 20; n++) await writeLetters(log, letterOf(n))
        const response = await fetch(`${address}/dead-letters?limit=2`)
        const newest = (await response.json()) as Json[]
        for (const { partition, first, next } of await log.partitions(DEAD_LETTER_TOPIC)) {
          await deleteBefore({ topic: DEAD_LETTER_TOPIC, partition, offset: Math.ceil((first + next) / 2) })
        }
        await writeLetters(log, letterOf(20))
        const [, path] = /^<(.*)>/.exec(response.headers.get('link') ?? '') ?? []
        const older = (await readPages(address, path as string)).flat()
        const left = await listOf(address)
        assert.ok(left.length > 1 && left.length < 21)
        const seen = [...newest, ...older].map(({ offset }) => offset)
        const leftBefore = left.map(({ offset }) => offset).filter((offset) => offset !== 20)
        for (const offset of leftBefore) assert.ok(seen.includes(offset), `${offset}`)
        assert.equal(new Set(seen).size, seen.length)
      })

      test('also what somebody else has put there', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        await log.append([{ topic: DEAD_LETTER_TOPIC, key: 'a', value: Buffer.from('{"reason": "none"}') }])
        const [letter, ...others] = await listOf(address)
        assert.deepEqual(
          [letter?.reason, letter?.topic, letter?.text, others.length],
          ['undecodable', DEAD_LETTER_TOPIC, '{"reason": "none"}', 0],
        )
        const { results } = await redrive(address, { ids: [letter?.id] })
        assert.equal(results[0]?.outcome, 'undecodable')
      })
    })

    describe('are dismissed', () => {
      test('by id or filter, once, and are told so and left alone from then on, by every Analyzer', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        await writeLetters(log, letterOf(1, { reason: 'conflict' }), letterOf(2), letterOf(3, { reason: 'conflict' }))
        const idOf = new Map((await listOf(address)).map(({ id, offset }) => [offset, id as string]))
        const ids = [idOf.get(2), 'nobody']
        assert.deepEqual((await dismiss(address, { ids, dry_run: true })).counts, { would_dismiss: 1, not_found: 1 })
        assert.deepEqual((await listOf(address, 'dismissed=yes')).length, 0)
        assert.deepEqual((await dismiss(address, { ids })).counts, { dismissed: 1, not_found: 1 })
        assert.deepEqual((await dismiss(address, { ids: [idOf.get(2)] })).counts, { already_dismissed: 1 })
        assert.deepEqual((await dismiss(address, { filter: { reason: 'conflict' } })).counts, { dismissed: 2 })
        assert.deepEqual((await dismiss(address, { filter: {} })).results, [])

        await using other = await listen(log)
        for (const at of [address, other.address]) {
          assert.equal((await listOf(at)).length, 3)
          assert.deepEqual(await listOf(at, 'dismissed=no'), [])
          for (const { dismissed_time } of await listOf(at, 'dismissed=yes'))
            assert.equal(typeof dismissed_time, 'string')
          assert.deepEqual((await redrive(at, { filter: {} })).results, [])
        }
        assert.deepEqual((await redrive(other.address, { ids: [idOf.get(2)] })).counts, { redriven: 1 }, 'by its id')
        const wrong = await dismiss(address, { ids, force: true })
        assert.deepEqual([wrong.status, wrong.errors?.[0]?.pointer], [400, '/force'])
      })
    })

    describe('are redriven', () => {
      test('as the bytes that they were, with their key, to their topic, and are told as redriven', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        const letters = [1, 2, 3].map((n) => letterOf(n))
        await writeLetters(log, ...letters)
        const before = await listOf(address)
        const ids = before.map(({ id }) => id)
        const dry = await redrive(address, { ids, dry_run: true })
        assert.deepEqual([dry.status, dry.counts, dry.next], [200, { would_redrive: 3 }, null])
        assert.deepEqual(await contentOf(log, RUNS), [])
        assert.deepEqual(await listOf(address), before)

        const { counts, results } = await redrive(address, { ids: ids.slice(0, 2) })
        assert.deepEqual(counts, { redriven: 2 })
        assert.deepEqual(
          results,
          ids.slice(0, 2).map((id) => ({ id, outcome: 'redriven', attempts: 1 })),
        )
        const sent = before.slice(0, 2).map(({ key, text }) => ({ key, text }))
        assert.deepEqual(await contentOf(log, RUNS), inOrder(sent))
        const after = await listOf(address)
        assert.deepEqual(
          after.map(({ redriven }) => redriven),
          ['yes', 'yes', 'no'],
        )
        assert.deepEqual(
          (await listOf(address, 'redriven=no')).map(({ id }) => id),
          ids.slice(2),
        )
      })

      test('at most once, however many Analyzers are asked however often at the same time', async () => {
        await using opened = await start(open)
        await using other = await listen(opened.log)
        const { log, address } = opened
        const letters = Array.from({ length: 30 }, (_, n) => letterOf(n))
        await writeLetters(log, ...letters, ...letters)
        const ids = (await listOf(address)).map(({ id }) => id as string)
        const answers = await Promise.all(
          [address, other.address, address, other.address].flatMap((at) => [
            redrive(at, { ids }),
            redrive(at, { filter: { reason: 'unstorable' } }),
          ]),
        )
        for (const { status } of answers) assert.equal(status, 200)
        const redriven = answers.flatMap(({ results }) => results).filter(({ outcome }) => outcome === 'redriven')
        assert.deepEqual(redriven.map(({ id }) => id).sort(), [...ids].sort())
        assert.equal((await contentOf(log, RUNS)).length, letters.length)
        const { counts } = await redrive(other.address, { ids })
        assert.deepEqual(counts, { already_redriven: 30 })
        assert.equal((await contentOf(log, RUNS)).length, letters.length)
      })

      test('by a filter, part by part, those that were redriven left out', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        const { user_id } = newRun().fields
        const mine = Array.from({ length: 7 }, (_, n) => letterOf(n, { event: newRun({ user_id }) }))
        await writeLetters(log, ...mine.flatMap((letter, n) => [letter, letterOf(100 + n)]))
        const order = { filter: { user_id: user_id.toUpperCase(), type: 'running_stats' }, limit: 3 }
        const redriven: number[] = []
        for (let cursor: string | null | undefined; cursor !== null; ) {
          const { results, counts, next } = await redrive(address, { ...order, ...(cursor && { cursor }) })
          assert.ok(results.length <= 3)
          redriven.push(counts.redriven ?? 0)
          cursor = next
        }
        assert.equal(
          redriven.reduce((sum, count) => sum + count),
          7,
        )
        assert.deepEqual(await contentOf(log, RUNS), inOrder(mine.map(toContent)))
        assert.deepEqual((await redrive(address, order)).results, [])
      })

      test('not where it would be in vain, and the reason is told by id', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        await writeLetters(
          log,
          letterOf(1, { reason: 'conflict' }),
          letterOf(2, { reason: 'undecodable', value: Buffer.from('{}') }),
          // What a newer Runify understands is no longer undecodable.
          letterOf(3, { reason: 'undecodable' }),
          letterOf(4, { topic: 'somebody.elses' }),
          letterOf(5, { reason: 'uncounted' }),
        )
        const idOf = new Map((await listOf(address)).map(({ id, offset }) => [offset, id]))
        const ids = [1, 2, 3, 4, 5].map((offset) => idOf.get(offset) as string)
        const nobody = ['9-9', '0-999999', 'abc', '']
        const { counts, results } = await redrive(address, { ids: [...ids, ...nobody] })
        assert.deepEqual(
          results.map(({ id, outcome }) => [id, outcome]),
          [
            [ids[0], 'conflict'],
            [ids[1], 'undecodable'],
            [ids[2], 'redriven'],
            [ids[3], 'undecodable'],
            [ids[4], 'uncounted'],
            ...nobody.map((id) => [id, 'not_found']),
          ],
        )
        assert.deepEqual(counts, { conflict: 1, undecodable: 2, redriven: 1, uncounted: 1, not_found: 4 })
        for (const { outcome, detail } of results) assert.equal(detail === undefined, outcome === 'redriven')
      })

      test('no more than some times, when what they were comes back again and again', async () => {
        await using opened = await start(open)
        const { log, address } = opened
        const event = newRun()
        let ancestor: unknown = null
        for (const attempts of [0, 1, 2]) {
          await writeLetters(log, letterOf(attempts, { event }))
          const [letter] = await listOf(address)
          assert.deepEqual([letter?.attempts, letter?.ancestor, letter?.redriven], [attempts, ancestor, 'no'])
          const { results } = await redrive(address, { ids: [letter?.id] })
          assert.deepEqual(results, [{ id: letter?.id, outcome: 'redriven', attempts: attempts + 1 }])
          ancestor = letter?.id
          await nextMillisecond()
        }
        await writeLetters(log, letterOf(3, { event }))
        const [letter] = await listOf(address)
        const guarded = await redrive(address, { ids: [letter?.id] })
        assert.deepEqual([guarded.results[0]?.outcome, guarded.results[0]?.attempts], ['attempts_exhausted', 3])
        assert.deepEqual((await redrive(address, { filter: {} })).counts, { attempts_exhausted: 1 })
        assert.equal((await contentOf(log, RUNS)).length, 3)
        assert.deepEqual((await redrive(address, { filter: {}, attempts_max: 4 })).counts, { redriven: 1 })
      })

      test('not again after somebody was killed between the claim and the sending, unless it is forced', async () => {
        await using opened = await start(open)
        const { log } = opened
        await writeLetters(log, letterOf(1))
        {
          await using doomed = await listen(dyingAtTopic(log, RUNS))
          const { results } = await redrive(doomed.address, { filter: {} })
          assert.equal(results[0]?.outcome, 'unfinished')
        }
        await using another = await listen(log)
        const { address } = another
        const [letter] = await listOf(address)
        assert.equal(letter?.redriven, 'unfinished')
        const ids = [letter?.id]
        assert.deepEqual((await redrive(address, { ids })).counts, { unfinished: 1 })
        assert.deepEqual((await redrive(address, { filter: {} })).counts, { unfinished: 1 })
        assert.deepEqual(await contentOf(log, RUNS), [])
        assert.deepEqual((await redrive(address, { ids, force: true })).counts, { redriven: 1 })
        assert.deepEqual((await redrive(address, { ids, force: true })).counts, { already_redriven: 1 })
        assert.equal((await contentOf(log, RUNS)).length, 1)
        assert.equal((await listOf(address))[0]?.redriven, 'yes')
      })

      test('not at all while the log does not take it', async () => {
        await using opened = await start(open)
        const { log } = opened
        await writeLetters(log, letterOf(1))
        {
          await using doomed = await listen(dyingAtTopic(log, 'runify.redrives'))
          assert.equal((await redrive(doomed.address, { filter: {} })).status, 503)
        }
        await using another = await listen(log)
        assert.deepEqual((await redrive(another.address, { filter: {} })).counts, { redriven: 1 })
      })
    })
  })
}

async function start(open: () => Promise<LogUnderTest>) {
  await using opened = new AsyncDisposableStack()
  const { log, deleteBefore } = opened.use(await open())
  const { address } = opened.use(await listen(log))
  const all = opened.move()
  return { log, deleteBefore, address, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

async function listOf(address: string, query = ''): Promise<Json[]> {
  return (await readPages(address, `/dead-letters?${query}`)).flat()
}

/** Every letter once, in the order of its first copy, straight from the log. */
async function naiveList(
  log: EventLog,
): Promise<{ id: string; times: number; reason: string; topic: string; key: string }[]> {
  const copies = (await readAll(log, DEAD_LETTER_TOPIC)).sort(
    (a, b) => a.appendTime - b.appendTime || a.partition - b.partition || a.offset - b.offset,
  )
  const byKey = Map.groupBy(copies, ({ key }) => key)
  return [...byKey.values()].map((some) => {
    const { partition, offset, value } = some[0] as (typeof some)[number]
    const { reason, topic, key } = JSON.parse(Buffer.from(value).toString())
    return { id: `${partition}-${offset}`, times: some.length, reason, topic, key }
  })
}

type Content = { key: string; text: string }

async function contentOf(log: EventLog, topic: string): Promise<Content[]> {
  return inOrder((await readAll(log, topic)).map(({ key, value }) => ({ key, text: Buffer.from(value).toString() })))
}

function toContent({ record: { key, value } }: DeadLetter): Content {
  return { key, text: Buffer.from(value).toString() }
}

function inOrder<T>(some: readonly T[]): T[] {
  return [...some].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

/** The log as a process sees it that is killed just before it appends to a topic: whatever it does after that is lost. */
function dyingAtTopic(log: EventLog, topic: string): EventLog {
  return new Proxy(log, {
    get(target, name) {
      if (name !== 'append') {
        const member = Reflect.get(target, name)
        return typeof member === 'function' ? member.bind(target) : member
      }
      let dead = false
      return async (records: Parameters<EventLog['append']>[0]) => {
        dead ||= records.some((record) => record.topic === topic)
        if (dead) throw new Failure('log_unavailable', 'killed', { retryable: true })
        await target.append(records)
      }
    },
  })
}

async function nextMillisecond(): Promise<void> {
  for (const now = Date.now(); Date.now() <= now; ) await new Promise((resolve) => setImmediate(resolve))
}
