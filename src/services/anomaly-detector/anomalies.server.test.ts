import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from '../../config.ts'
import { CATALOGUE, type RunifyEvent } from '../../events/catalogue.ts'
import { encodeEvent } from '../../events/codec.ts'
import { nextOf } from '../../log/position.ts'
import { openKafka, testBrokers, waitUntil } from '../../log/testing/kafka.fixture.ts'
import { openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../../store/testing/mysql.fixture.ts'
import { createTelemetry } from '../../telemetry.ts'
import { createConsumer, JUDGED_TOPICS } from './consumer.ts'
import { openMysqlAnomalies } from './store/mysql-anomalies.ts'
import { anomalyTelemetry } from './telemetry.ts'

const brokers = testBrokers('the anomaly detector on Kafka and MySQL')
if (brokers !== undefined) {
  describe('The anomaly detector on Kafka and MySQL', { skip: SKIP_WITHOUT_MYSQL }, () => detectorTests(brokers))
}

const USERS = 30
const ROUNDS = 60
const { anomalyThresholds } = readConfig({})

function detectorTests(brokers: string): void {
  test('finds everything once while its instances come and go', async () => {
    await using opened = new AsyncDisposableStack()
    const kafka = opened.use(await openKafka(brokers, { partitions: 3 }))
    const { options } = opened.use(await openMysqlPlace())
    const group = `anomalies-${randomUUID()}`
    const start = async () => {
      const anomalies = opened.use(await openMysqlAnomalies(options))
      const log = await kafka.openAgain()
      const stop = new AbortController()
      const telemetry = anomalyTelemetry(createTelemetry('anomaly-detector', 'silent'))
      // What is sent here comes at once, and is no burst.
      const thresholds = { ...anomalyThresholds, eventsPerMinute: 1_000_000 }
      const consumer = createConsumer({ log, anomalies, telemetry, thresholds, group, batchRecordsMax: 50 })
      const running = consumer.run(stop.signal)
      const end = async () => {
        stop.abort()
        await running
      }
      opened.defer(end)
      return { anomalies, end }
    }
    const ends = async () => {
      const ranges = await Promise.all(
        JUDGED_TOPICS.map(async (topic) => (await kafka.log.partitions(topic)).map((range) => ({ topic, ...range }))),
      )
      return ranges.flat()
    }
    const reader = opened.use(await openMysqlAnomalies(options))
    // Others have used these topics: it begins where they are now.
    for (const { topic, partition, next } of await ends()) {
      await reader.judge({
        topic,
        partition,
        from: 0,
        next,
        users: [],
        judge: () => ({ found: [], states: new Map(), refused: [] }),
      })
    }

    const { events, expected } = makeEvents()
    const first = await start()
    const second = await start()
    for (let begin = 0; begin < events.length; begin += 200) {
      const some = events.slice(begin, begin + 200)
      await kafka.log.append(
        some.map((event) => ({
          topic: CATALOGUE[event.type].topic,
          key: event.fields.user_id,
          value: encodeEvent(event),
        })),
      )
      if (begin === 600) await first.end()
      if (begin === 1200) await start()
      if (begin === 1800) await second.end()
      await sleep(10)
    }
    await waitUntil(async () => {
      const cursors = await reader.cursors()
      return (await ends()).every((range) => nextOf(cursors, range) >= range.next)
    }, 'everything is judged')

    const found = await reader.page({ by: 'date_created', limit: 10_000 })
    const ours = found.filter(({ user_id }) => events.some(({ fields }) => fields.user_id === user_id))
    const names = ours.map(({ anomaly_type, trace_id }) => `${anomaly_type} ${trace_id}`)
    assert.deepEqual(names.toSorted(), expected.toSorted())
    const counts = Object.values(await reader.counts())
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      found.length,
    )
  })
}

/** Runs and plays of many users in turn; the past of each runner decides what is unusual. */
function makeEvents(): { events: RunifyEvent[]; expected: string[] } {
  const users = Array.from({ length: USERS }, () => randomUUID())
  const events: RunifyEvent[] = []
  const expected: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const user_id of users) {
      const timestamp = Date.UTC(2024, 0, 1 + round, 6)
      const [run, play] = [randomUUID(), randomUUID()]
      const distance = round === 40 ? 25_000 : round === 50 ? 43_000 : 5000 + 10 * round
      const fields = { user_id, distance, duration: distance * 0.36, timestamp }
      events.push({ type: 'running_stats', trace_id: run, date_created: timestamp, fields })
      const song = { user_id, song_name: 'a', artist: 'b', song_duration: round === 30 ? 12 : 200, timestamp }
      events.push({ type: 'music_info', trace_id: play, date_created: timestamp, fields: song })
      if (round === 40) expected.push(`UnusualDistance ${run}`)
      if (round === 50) expected.push(`LongRun ${run}`, `UnusualDistance ${run}`)
      if (round === 30) expected.push(`ShortSong ${play}`)
    }
  }
  return { events, expected }
}
