import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { generateEvents } from '../../../cli/generator/generator.ts'
import { readConfig } from '../../../config.ts'
import type { RunifyEvent } from '../../../events/catalogue.ts'
import { checkEvent } from '../../../events/check.ts'
import { derivedTraceId } from '../../../events/trace-id.ts'
import { ANOMALY_TYPES, type Anomaly, type AnomalyType } from '../anomaly.ts'
import { type JudgedType, judgeEvents, type LoggedEvent } from '../detector.ts'
import { plantAnomalies, type Sent, withPlants } from '../testing/planted.fixture.ts'

/** A year of many runners, fed to the rules as the log would, with one anomaly planted for each of 500 of them. */

const OPTIONS = { users: 550, days: 290, seed: 11 }
const EVENTS_MIN = 1_000_000
const PLANTS = 500
const FALSE_ALARMS_MAX = 0.001
const BATCH = 1000
const { anomalyThresholds: thresholds } = readConfig({})

/** Types of which a believable event can be one too, by what it says of itself: a skipped song, a marathon. */
const ITSELF: Partial<Record<AnomalyType, (fields: Record<string, number>) => boolean>> = {
  LongRun: ({ distance = Number.NaN }) => distance > 42_000,
  ShortRun: ({ duration = Number.NaN }) => duration < 300,
  LongSong: ({ song_duration = Number.NaN }) => song_duration > 900,
  ShortSong: ({ song_duration = Number.NaN }) => song_duration < 30,
}
const THRESHOLD_TYPES = Object.keys(ITSELF) as AnomalyType[]
const isItself = (type: AnomalyType, { fields }: Pick<Sent, 'fields'>) =>
  ITSELF[type]?.(fields as Record<string, number>) ?? false

describe('Among a million believable events', () => {
  test('every planted anomaly is found, and hardly anything else', (t) => {
    const plants = plantAnomalies(OPTIONS, PLANTS)
    assert.equal(plants.length, PLANTS)
    const planted = new Set(plants.flatMap(({ events }) => events.map(({ fields }) => fields.event_id)))
    const found = new Map<string, Anomaly>()
    const eventOf = new Map<string, Sent>()
    const expected = new Set<string>()
    let repeats = 0
    const feed = new Feed((anomaly) => {
      if (found.has(anomaly.anomaly_id)) repeats++
      found.set(anomaly.anomaly_id, anomaly)
    })
    for (const sent of withPlants(generateEvents(OPTIONS), plants)) {
      const trace_id = feed.add(sent)
      const types = THRESHOLD_TYPES.filter((type) => isItself(type, sent))
      for (const type of types) expected.add(`${type} ${trace_id}`)
      if (types.length > 0 || planted.has(sent.fields.event_id as string)) eventOf.set(trace_id, sent)
    }
    feed.end()

    const names = new Set([...found.values()].map(({ anomaly_type, trace_id }) => `${anomaly_type} ${trace_id}`))
    const missed = plants.filter(({ type, events: [event] }) => !names.has(`${type} ${traceIdOf(event as Sent)}`))
    assert.deepEqual(missed, [], 'every plant is found')
    assert.ok(expected.size > 1000)
    const overlooked = [...expected.difference(names)].slice(0, 5)
    assert.deepEqual(overlooked, [], 'so is what says of itself that it is beyond a threshold')
    assert.equal(repeats, 0, 'an event that is sent again gives nothing new')

    // A planted event may be found for another reason too. One that is itself beyond a threshold may also be unusual.
    const falseAlarms = [...found.values()].filter(({ anomaly_type: type, trace_id }) => {
      const event = eventOf.get(trace_id)
      if (event === undefined) return true
      return !planted.has(event.fields.event_id as string) && !isItself(type, event) && !type.startsWith('Unusual')
    })
    const counts = ANOMALY_TYPES.map((type) => [type, [...names].filter((name) => name.startsWith(type)).length])
    t.diagnostic(`${feed.events} events, found: ${counts.map((count) => count.join(' ')).join(', ')}`)
    t.diagnostic(`false alarms: ${falseAlarms.length}, of ${[...new Set(falseAlarms.map((one) => one.anomaly_type))]}`)
    assert.ok(feed.events >= EVENTS_MIN)
    assert.ok(falseAlarms.length <= feed.events * FALSE_ALARMS_MAX)
  })
})

/** Hands events on in batches, a topic each, as the log does; states go through their bytes. */
class Feed {
  readonly #found: (anomaly: Anomaly) => void
  readonly #topics: Record<JudgedType, { batch: LoggedEvent[]; states: Map<string, Uint8Array> }> = {
    running_stats: { batch: [], states: new Map() },
    music_info: { batch: [], states: new Map() },
  }
  #appendTime = 0
  events = 0

  constructor(found: (anomaly: Anomaly) => void) {
    this.#found = found
  }

  /** Gives its trace_id. */
  add(sent: Sent): string {
    const type = sent.type as JudgedType
    const checked = checkEvent(type, sent.fields)
    assert.ok(checked.ok)
    // The log's time does not go back.
    this.#appendTime = Math.max(this.#appendTime, sent.sentAt)
    const trace_id = traceIdOf(sent)
    const event = { type, trace_id, date_created: sent.sentAt, fields: checked.fields } as RunifyEvent<JudgedType>
    const { batch } = this.#topics[type]
    batch.push({ offset: this.events++, appendTime: this.#appendTime, event })
    if (batch.length === BATCH) this.#judge(type)
    return trace_id
  }

  end(): void {
    for (const type of Object.keys(this.#topics)) this.#judge(type as JudgedType)
  }

  #judge(type: JudgedType): void {
    const { batch, states } = this.#topics[type]
    const judgement = judgeEvents(type, batch, { before: states, thresholds })
    for (const [user, state] of judgement.states) states.set(user, state)
    for (const { anomaly } of judgement.found) this.#found(anomaly)
    batch.length = 0
  }
}

function traceIdOf({ type, fields }: Sent): string {
  return derivedTraceId(type, fields.user_id as string, fields.event_id as string)
}
