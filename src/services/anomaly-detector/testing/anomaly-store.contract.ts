import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { nextOf } from '../../../log/position.ts'
import { ANOMALY_TYPES, type Anomaly, type AnomalyType, anomalyId } from '../anomaly.ts'
import type { FoundAnomaly } from '../detector.ts'
import type { AnomalyQuery, AnomalyStore, JudgedBatch } from '../store/anomaly-store.ts'
import { webhookContract } from './webhook-store.contract.ts'

/** A fresh place for anomalies. Disposing of it closes every instance of the place and removes what is in it. */
export type OpenedAnomalies = AsyncDisposable & {
  anomalies: AnomalyStore
  /** Another instance on the same place. */
  openAgain(): Promise<AnomalyStore>
}

export type AnomalyAdapter = { name: string; open(): Promise<OpenedAnomalies> }

/** What every store of anomalies does, whatever it is made of. */
export function anomalyStoreContract(adapter: AnomalyAdapter): void {
  describe(`anomaly store: ${adapter.name}`, () => {
    describe('judge', () => judgeContract(adapter))
    describe('forget', () => forgetContract(adapter))
    describe('page', () => pageContract(adapter))
    describe('webhooks', () => webhookContract(adapter, anomalyOf))
    describe('several instances', () => instanceContract(adapter))
  })
}

const TOPIC = 'runs'
const USERS = [1, 2, 3].map((digit) => `0000000${digit}-6c54-4b01-90e6-d701748f0851`) as [string, string, string]
const bytes = (...numbers: number[]) => Uint8Array.from(numbers)

function anomalyOf(more: Partial<Anomaly> = {}): Anomaly {
  const trace_id = more.trace_id ?? randomUUID()
  const anomaly_type = more.anomaly_type ?? 'LongRun'
  return {
    anomaly_id: anomalyId(anomaly_type, trace_id),
    anomaly_type,
    trace_id,
    user_id: USERS[0],
    description: "A run's “description” – 42,195.5 m\\",
    value: 42_195.123_456_789_01,
    threshold: 42_000,
    timestamp: Date.UTC(2024, 4, 1),
    date_created: Date.UTC(2024, 4, 2),
    ...more,
  }
}

function foundAt(offset: number, more: Partial<Anomaly> = {}): FoundAnomaly {
  return { offset, anomaly: anomalyOf(more) }
}

/** A batch whose judge finds these, and leaves these states. */
function batchOf(
  { from, next, partition = 0, topic = TOPIC }: { from: number; next: number; partition?: number; topic?: string },
  found: FoundAnomaly[] = [],
  states: [user: string, state: Uint8Array][] = [],
): JudgedBatch {
  const users = states.map(([user]) => user)
  const judge = (begin: number) => ({
    found: found.filter(({ offset }) => offset >= begin),
    states: new Map(states),
    refused: [],
  })
  return { topic, partition, from, next, users, judge }
}

/** Judges a batch of which nothing is refused, and gives what is new. */
async function judged(store: AnomalyStore, batch: JudgedBatch): Promise<Anomaly[]> {
  const outcome = await store.judge(batch)
  assert.ok(outcome.kind === 'judged')
  return outcome.anomalies
}

/** What the next batch would be judged by. */
async function statesOf(store: AnomalyStore, users: readonly string[], topic = TOPIC) {
  const next = nextOf(await store.cursors(), { topic, partition: 0 })
  let seen: Record<string, number[]> = {}
  const stop = new Error('seen')
  const judge: JudgedBatch['judge'] = (_begin, states) => {
    seen = Object.fromEntries([...states].map(([user, state]) => [user, [...state]]))
    throw stop
  }
  await assert.rejects(store.judge({ topic, partition: 0, from: next, next: next + 1, users, judge }))
  return seen
}

async function allOf(store: AnomalyStore): Promise<Anomaly[]> {
  return store.page({ by: 'date_created', limit: 10_000 })
}

function judgeContract({ open }: AnomalyAdapter): void {
  test('keeps what was found, the states and the cursor', async () => {
    await using place = await open()
    const { anomalies } = place
    await anomalies.checkReady()
    assert.deepEqual(await anomalies.cursors(), [])
    assert.equal(await anomalies.anomaly(randomUUID()), undefined)

    const found = [foundAt(3), foundAt(7, { anomaly_type: 'ShortRun', value: 1e-9, timestamp: -62_167_219_200_000 })]
    const [first, second] = found.map(({ anomaly }) => anomaly) as [Anomaly, Anomaly]
    const states: [string, Uint8Array][] = [
      [USERS[0], bytes(0, 255, 39, 92)],
      [USERS[1], new Uint8Array(25_000).fill(7)],
    ]
    assert.deepEqual(await judged(anomalies, batchOf({ from: 0, next: 10 }, found, states)), [first, second])
    const again = await place.openAgain()
    assert.deepEqual(await again.cursors(), [{ topic: TOPIC, partition: 0, next: 10 }])
    assert.deepEqual(await again.anomaly(first.anomaly_id), first)
    assert.deepEqual(await again.anomaly(second.anomaly_id), second)
    const { LongRun, ShortRun, ...others } = await again.counts()
    assert.deepEqual([LongRun, ShortRun], [1, 1])
    assert.deepEqual(Object.keys(others).length, ANOMALY_TYPES.length - 2)
    assert.deepEqual(new Set(Object.values(others)), new Set([0]))
    assert.deepEqual(await statesOf(again, USERS), {
      [USERS[0]]: [0, 255, 39, 92],
      [USERS[1]]: Array.from({ length: 25_000 }, () => 7),
    })
  })

  test('gives the states that the last batch left, and of those users only', async () => {
    await using place = await open()
    const { anomalies } = place
    await anomalies.judge(
      batchOf(
        { from: 0, next: 1 },
        [],
        [
          [USERS[0], bytes(1)],
          [USERS[1], bytes(1)],
        ],
      ),
    )
    await anomalies.judge(
      batchOf(
        { from: 1, next: 2 },
        [],
        [
          [USERS[1], bytes(2)],
          [USERS[2], bytes()],
        ],
      ),
    )
    await anomalies.judge(batchOf({ from: 0, next: 1, topic: 'plays' }, [], [[USERS[0], bytes(3)]]))
    assert.deepEqual(await statesOf(anomalies, [USERS[0], USERS[1]]), { [USERS[0]]: [1], [USERS[1]]: [2] })
    assert.deepEqual(await statesOf(anomalies, [USERS[2]]), { [USERS[2]]: [] })
    assert.deepEqual(await statesOf(anomalies, USERS, 'plays'), { [USERS[0]]: [3] })
  })

  test('skips what lies before the cursor', async () => {
    await using place = await open()
    const { anomalies } = place
    const [early, late] = [foundAt(4), foundAt(12)]
    await anomalies.judge(batchOf({ from: 0, next: 10 }, [early], [[USERS[0], bytes(1)]]))
    const begins: number[] = []
    const again: JudgedBatch = {
      ...batchOf({ from: 0, next: 15 }),
      users: USERS,
      judge: (begin, states) => {
        begins.push(begin)
        assert.deepEqual([...(states.get(USERS[0]) ?? [])], [1])
        return { found: [late], states: new Map([[USERS[0], bytes(2)]]), refused: [] }
      },
    }
    assert.deepEqual(await judged(anomalies, again), [late.anomaly])
    assert.deepEqual(begins, [10])
    assert.deepEqual(await judged(anomalies, again), [], 'it is behind the cursor as a whole')
    assert.deepEqual(begins, [10])
    assert.equal((await anomalies.counts()).LongRun, 2)
  })

  test('refuses a batch that would leave records out, and changes nothing', async () => {
    await using place = await open()
    const { anomalies } = place
    await anomalies.judge(batchOf({ from: 0, next: 5 }))
    const batch = batchOf({ from: 6, next: 9 }, [foundAt(7)], [[USERS[0], bytes(1)]])
    await assert.rejects(anomalies.judge(batch), { code: 'position_conflict', retryable: true })
    assert.deepEqual(await anomalies.cursors(), [{ topic: TOPIC, partition: 0, next: 5 }])
    assert.deepEqual([await allOf(anomalies), await statesOf(anomalies, USERS)], [[], {}])
  })

  test('changes nothing when judging fails', async () => {
    await using place = await open()
    const { anomalies } = place
    const failing: JudgedBatch = {
      ...batchOf({ from: 0, next: 5 }),
      judge: () => {
        throw new Error('no')
      },
    }
    await assert.rejects(anomalies.judge(failing), { code: 'anomalies_unavailable' })
    assert.deepEqual(
      (await anomalies.cursors()).filter(({ next }) => next > 0),
      [],
    )
    assert.deepEqual(
      await judged(anomalies, batchOf({ from: 0, next: 5 }, [foundAt(1)])).then(({ length }) => length),
      1,
    )
  })

  test('keeps an anomaly as it was found first, and counts it once', async () => {
    await using place = await open()
    const { anomalies } = place
    const { offset, anomaly } = foundAt(1)
    await anomalies.judge(batchOf({ from: 0, next: 5 }, [{ offset, anomaly }]))
    const other = foundAt(3)
    const repeat = { offset: 2, anomaly: { ...anomaly, value: 1, date_created: 1 } }
    assert.deepEqual(await judged(anomalies, batchOf({ from: 0, next: 5, partition: 1 }, [repeat, other])), [
      other.anomaly,
    ])
    assert.deepEqual(await anomalies.anomaly(anomaly.anomaly_id), anomaly)
    assert.equal((await anomalies.counts()).LongRun, 2)
  })

  test('takes some thousands of users and anomalies at once', async () => {
    await using place = await open()
    const { anomalies } = place
    const users = Array.from({ length: 3000 }, () => randomUUID())
    const found = users.map((user_id, offset) => foundAt(offset, { user_id }))
    const states = users.map((user, n): [string, Uint8Array] => [user, new Uint8Array(4000).fill(n)])
    assert.equal((await judged(anomalies, batchOf({ from: 0, next: 3000 }, found, states))).length, 3000)
    assert.equal((await anomalies.counts()).LongRun, 3000)
    const seen = await statesOf(anomalies, users)
    assert.equal(Object.keys(seen).length, 3000)
    assert.equal(seen[users[2999] as string]?.[3999], 2999 % 256)
  })

  test('writes nothing of a batch of which something is refused, and says which records, and why', async () => {
    await using place = await open()
    const { anomalies } = place
    const nothing = null as unknown as string
    const found = [1, 2, 3, 4, 5].map((offset) => foundAt(offset, offset % 2 === 0 ? { description: nothing } : {}))
    const outcome = await anomalies.judge(batchOf({ from: 0, next: 6 }, found, [[USERS[0], bytes(1)]]))
    assert.ok(outcome.kind === 'refused')
    assert.deepEqual(
      outcome.records.map(({ offset }) => offset),
      [2, 4],
    )
    for (const { detail } of outcome.records) assert.match(detail, /^the database refuses the LongRun that it shows: ./)

    const unjudged = { offset: 3, detail: 'it cannot be judged: why' }
    const judge = () => ({ found: found.slice(0, 1), states: new Map(), refused: [unjudged] })
    const batch = { topic: TOPIC, partition: 0, from: 0, next: 6, users: [], judge }
    assert.deepEqual(await anomalies.judge(batch), { kind: 'refused', records: [unjudged] })
    assert.deepEqual([await allOf(anomalies), await statesOf(anomalies, USERS)], [[], {}])
    assert.deepEqual(await anomalies.cursors(), [])
  })
}

function forgetContract({ open }: AnomalyAdapter): void {
  test('removes what was received of a user until then, and what is known of the user, and nothing else', async () => {
    await using place = await open()
    const { anomalies } = place
    const [early, late] = [Date.UTC(2024, 4, 2), Date.UTC(2024, 4, 3)]
    const found = [
      foundAt(1, { date_created: early }),
      foundAt(2, { date_created: early, anomaly_type: 'ShortRun' }),
      foundAt(3, { date_created: early }),
      foundAt(4, { date_created: late }),
      foundAt(5, { date_created: early, user_id: USERS[1] }),
    ]
    await anomalies.judge(
      batchOf({ from: 0, next: 10 }, found, [
        [USERS[0], bytes(1)],
        [USERS[1], bytes(2)],
      ]),
    )
    const batch = {
      topic: 'gone',
      partition: 0,
      from: 0,
      next: 3,
      tombstones: [{ user_id: USERS[0], forgotten_at: early }],
    }
    await anomalies.forget(batch)
    await anomalies.forget(batch)
    const kept = (await allOf(anomalies)).map(({ anomaly_id }) => anomaly_id)
    assert.deepEqual(new Set(kept), new Set(found.slice(3).map(({ anomaly }) => anomaly.anomaly_id)))
    const { LongRun, ShortRun } = await anomalies.counts()
    assert.deepEqual([LongRun, ShortRun], [2, 0])
    assert.deepEqual(await statesOf(anomalies, USERS), { [USERS[1]]: [2] })
    assert.equal(nextOf(await anomalies.cursors(), { topic: 'gone', partition: 0 }), 3)
    await assert.rejects(anomalies.forget({ ...batch, from: 9, next: 10 }), { code: 'position_conflict' })
  })

  test('is told to whoever judges, with the latest time', async () => {
    await using place = await open()
    const { anomalies } = place
    const forget = (from: number, until: number) =>
      anomalies.forget({
        topic: 'gone',
        partition: 0,
        from,
        next: from + 1,
        tombstones: [{ user_id: USERS[0], forgotten_at: until }],
      })
    await forget(0, 2000)
    await forget(1, 1000)
    const told: (readonly [string, number])[] = []
    const judge: JudgedBatch['judge'] = (_begin, _states, forgotten) => {
      for (const user of USERS) {
        for (const time of [1000, 1001, 2000, 2001]) {
          if (forgotten.has(user, time, { topic: TOPIC, partition: 0, offset: 0 })) told.push([user, time])
        }
      }
      return { found: [], states: new Map(), refused: [] }
    }
    await anomalies.judge({ topic: TOPIC, partition: 0, from: 0, next: 1, users: USERS, judge })
    assert.deepEqual(told, [
      [USERS[0], 1000],
      [USERS[0], 1001],
      [USERS[0], 2000],
    ])
  })

  test('goes by the positions of a tombstone that has some, whatever the clocks say', async () => {
    await using place = await open()
    const { anomalies } = place
    const tomorrow = Date.now() + 86_400_000
    const found = [1, 2, 3, 4].map((offset) => foundAt(offset, { date_created: tomorrow }))
    const elsewhere = foundAt(1, { date_created: 0 })
    const others = foundAt(2, { user_id: USERS[1] })
    await judged(anomalies, batchOf({ from: 0, next: 5 }, [...found, others]))
    await judged(anomalies, batchOf({ from: 0, next: 5, partition: 1 }, [elsewhere]))
    const positions = [{ topic: TOPIC, partition: 0, next: 3 }]
    const tombstones = [{ user_id: USERS[0], forgotten_at: tomorrow + 1, positions }]
    await anomalies.forget({ topic: 'gone', partition: 0, from: 0, next: 1, tombstones })
    const earlier = [
      {
        ...tombstones[0],
        user_id: USERS[0],
        forgotten_at: 0,
        positions: [{ ...positions[0], topic: TOPIC, partition: 0, next: 1 }],
      },
    ]
    await anomalies.forget({ topic: 'gone', partition: 0, from: 1, next: 2, tombstones: earlier })
    const kept = [...found.slice(2), elsewhere, others].map(({ anomaly }) => anomaly.anomaly_id)
    assert.deepEqual(new Set((await allOf(anomalies)).map(({ anomaly_id }) => anomaly_id)), new Set(kept))
    assert.equal((await anomalies.counts()).LongRun, kept.length)
    const told: [string, number, number][] = []
    for (const partition of [0, 1]) {
      const judge: JudgedBatch['judge'] = (_begin, _states, forgotten) => {
        for (const [user, offset] of [
          [USERS[0], 2],
          [USERS[0], 3],
          [USERS[1], 0],
        ] as const) {
          if (forgotten.has(user, 0, { topic: TOPIC, partition, offset })) told.push([user, partition, offset])
        }
        return { found: [], states: new Map(), refused: [] }
      }
      await anomalies.judge({ topic: TOPIC, partition, from: 5, next: 6, users: USERS, judge })
    }
    assert.deepEqual(told, [[USERS[0], 0, 2]])
  })
}

function pageContract({ open }: AnomalyAdapter): void {
  /** Few times and ids that are far apart, so that many share a time and the id has to decide. */
  const anyTime = fc.integer({ min: 0, max: 4 }).map((second) => Date.UTC(2024, 0, 1) + second * 1000)
  const anyFound = fc
    .record({
      anomaly_type: fc.constantFrom<AnomalyType>('LongRun', 'ShortRun', 'RateBurst'),
      user_id: fc.constantFrom(...USERS),
      timestamp: anyTime,
      date_created: anyTime,
      trace_id: fc.uuid(),
    })
    .map((more) => foundAt(0, more))
  const anyQuery = fc.record(
    {
      anomaly_type: fc.constantFrom<AnomalyType>('LongRun', 'ShortRun', 'LongSong'),
      user_id: fc.constantFrom(...USERS),
      from: anyTime,
      to: anyTime,
    },
    { requiredKeys: [] },
  )

  test('gives by pages what a naive filter and sort gives, in both orders', async () => {
    await using place = await open()
    const { anomalies } = place
    const [found = []] = fc.sample(fc.array(anyFound, { minLength: 150, maxLength: 150 }), { numRuns: 1, seed: 5 })
    await anomalies.judge(batchOf({ from: 0, next: 1 }, found))
    const all = found.map(({ anomaly }) => anomaly)
    await fc.assert(
      fc.asyncProperty(
        anyQuery,
        fc.constantFrom('timestamp', 'date_created'),
        fc.integer({ min: 1, max: 40 }),
        async (filter, by, limit) => {
          const expected = filterAndSort(all, { ...filter, by })
          const seen: Anomaly[] = []
          for (let after: AnomalyQuery['after']; ; ) {
            const page = await anomalies.page({ ...filter, by, limit, after })
            seen.push(...page)
            const last = page.at(-1)
            if (last === undefined || page.length < limit) break
            after = { time: last[by], anomaly_id: last.anomaly_id }
          }
          assert.deepEqual(seen, expected)
        },
      ),
      { numRuns: 40 },
    )
  })
}

function instanceContract({ open }: AnomalyAdapter): void {
  test('judge everything once, however many read the same partitions at the same time', async () => {
    await using place = await open()
    const records = 400
    const instances = [place.anomalies, place.anomalies, await place.openAgain(), await place.openAgain()]
    const news = await Promise.all(instances.map((store, n) => judgeAll(store, { records, size: 7 + n })))
    assert.equal(news.flat().length, 2 * records, 'each told as new to one instance')
    assert.equal((await allOf(place.anomalies)).length, 2 * records)
    assert.equal((await place.anomalies.counts()).LongRun, 2 * records)
    for (const topic of ['a', 'b']) {
      const [count] = (await statesOf(place.anomalies, [USERS[0]], topic))[USERS[0]] ?? []
      assert.equal(count, records % 256, `the state of ${topic} has seen each record once`)
    }
  })

  test('may be closed twice, and keeps everything', async () => {
    await using place = await open()
    await place.anomalies.judge(batchOf({ from: 0, next: 5 }, [foundAt(1)]))
    const before = await allOf(place.anomalies)
    await place.anomalies[Symbol.asyncDispose]()
    await place.anomalies[Symbol.asyncDispose]()
    assert.deepEqual(await allOf(await place.openAgain()), before)
  })
}

/** Reads two partitions from their cursors to their ends, with an anomaly in each record; the state counts them. */
async function judgeAll(store: AnomalyStore, { records, size }: { records: number; size: number }): Promise<Anomaly[]> {
  const news: Anomaly[] = []
  for (const topic of ['a', 'b']) {
    for (let from = 0; from < records; ) {
      from = nextOf(await store.cursors(), { topic, partition: 0 })
      const next = Math.min(from + size, records)
      const judge: JudgedBatch['judge'] = (begin, states) => {
        const found = Array.from({ length: next - begin }, (_, n) => {
          const digits = String(begin + n).padStart(12, '0')
          return foundAt(begin + n, { trace_id: `${topic.repeat(8)}-6c54-4b01-90e6-${digits}` })
        })
        const count = (states.get(USERS[0])?.[0] ?? 0) + found.length
        return { found, states: new Map([[USERS[0], bytes(count)]]), refused: [] }
      }
      if (from < records)
        news.push(...(await judged(store, { topic, partition: 0, from, next, users: [USERS[0]], judge })))
    }
  }
  return news
}

function filterAndSort(all: readonly Anomaly[], query: Omit<AnomalyQuery, 'limit'>): Anomaly[] {
  const { by, anomaly_type, user_id, from, to } = query
  return all
    .filter((one) => anomaly_type === undefined || one.anomaly_type === anomaly_type)
    .filter((one) => user_id === undefined || one.user_id === user_id)
    .filter((one) => (from === undefined || one[by] >= from) && (to === undefined || one[by] < to))
    .sort((a, b) => b[by] - a[by] || (a.anomaly_id < b.anomaly_id ? 1 : -1))
}
