import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { asStored, fromNdjson, type Kind, makeRun, makeSong } from '../test-support/events.ts'
import {
  getJson,
  getList,
  type Json,
  post,
  type Runify,
  settled,
  startInProcess,
  waitFor,
} from '../test-support/harness.ts'
import { recount, statisticsOf } from '../test-support/recount.ts'

/** What somebody sees who starts Runify for the first time, sends a few runs and songs, and looks at them. */

type FirstEvents = { runs: Json[]; songs: Json[] }

/** The default: a user need not know that there is a period. */
const PERIOD_MS = '2000'
const COUNTED_MS_MAX = 3000

const REAL_FILES = new URL('../../shared/data/', import.meta.url)
const skip = existsSync(new URL('first-runs.ndjson', REAL_FILES))
  ? false
  : 'the real files of ../shared/data are not here'
if (skip !== false) console.warn(`SKIPPED: ${skip}`)

describe('the first events, made up', () => {
  const runs = Array.from({ length: 3 }, (_, n) => makeRun(n))
  const songs = Array.from({ length: 39 }, (_, n) => makeSong(n))
  checkFlow(() => ({ runs, songs }))
})

describe('the first events, of real watches and players', { skip }, () => {
  const read = (name: string) => fromNdjson(readFileSync(new URL(name, REAL_FILES), 'utf8'))
  const first = () => ({ runs: read('first-runs.ndjson'), songs: read('first-songs.ndjson') })
  checkFlow(first)

  test('are the 3 runs and 39 songs that we know', () => {
    const { num_running_stats, num_music_info, max_distance, max_duration } = recount(first())
    assert.deepEqual([num_running_stats, num_music_info, max_distance, max_duration], [3, 39, 4689.24, 1993])
  })
})

function checkFlow(events: () => FirstEvents): void {
  let first: FirstEvents
  let runify: Runify
  let sent: { runs: Sent[]; songs: Sent[] }
  let sentAt: number

  before(async () => {
    first = events()
    runify = await startInProcess({ PROCESSING_PERIOD_MS: PERIOD_MS })
    sent = await sendAll(runify, first)
    sentAt = performance.now()
  })
  after(() => runify?.[Symbol.asyncDispose]())

  test('are counted in Processing within 3 s', async () => {
    const expected = recount(first)
    const leftMs = COUNTED_MS_MAX - (performance.now() - sentAt)
    const statistics = await waitFor(async () => {
      const answer = await getJson(`${runify.addresses.processing}/stats`)
      return answer.behind === 0 && answer
    }, leftMs)
    assert.deepEqual(statisticsOf(statistics), expected)
  })

  test('are in Storage with the values that were sent', async () => {
    const { storage } = runify.addresses
    const { runs, songs } = first
    assert.deepEqual(await getJson(`${storage}/stats`), {
      num_running_stats: runs.length,
      num_music_info: songs.length,
    })
    assert.deepEqual(withoutDates(await getList(`${storage}/stats/running`)), inOrder(sent.runs))
    assert.deepEqual(withoutDates(await getList(`${storage}/stats/music`)), inOrder(sent.songs))
  })

  test('are each there under the trace_id that was answered', async () => {
    for (const [type, list] of [
      ['running_stats', sent.runs],
      ['music_info', sent.songs],
    ] as const) {
      for (const [offset, { stored }] of list.entries()) {
        const { date_created, ...event } = await getJson(`${runify.addresses.storage}/events/${stored.trace_id}`)
        assert.deepEqual(event, { type, ...stored, partition: 0, offset })
        assert.match(date_created as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      }
    }
  })

  test('are in the log in the order in which they were sent', async () => {
    const { analyzer } = runify.addresses
    for (const index of [0, 2]) {
      const { date_created, append_time, partition, offset, ...event } = await getJson(
        `${analyzer}/running?index=${index}`,
      )
      assert.deepEqual(event, { ...sent.runs[index]?.stored, index })
      assert.deepEqual([typeof date_created, typeof append_time, partition, offset], ['string', 'string', 0, index])
    }
    assert.equal((await fetch(`${analyzer}/running?index=3`)).status, 404)
    assert.equal((await getJson(`${analyzer}/music?index=38`)).song_name, sent.songs[38]?.stored.song_name)
  })

  test('change nothing when they are sent a second time', async () => {
    await settled(runify)
    const seen = await whatUsersSee(runify)
    const again = await sendAll(runify, first)
    assert.deepEqual(traceIds(again.runs), traceIds(sent.runs))
    assert.deepEqual(traceIds(again.songs), traceIds(sent.songs))
    const { num_running_stats } = await getJson(`${runify.addresses.analyzer}/stats`)
    assert.equal(num_running_stats, 2 * first.runs.length, 'the log keeps repeats')
    await settled(runify)
    assert.deepEqual(await whatUsersSee(runify), seen)
  })
}

type Sent = { stored: Json }

async function sendAll({ addresses }: Runify, { runs, songs }: FirstEvents): Promise<{ runs: Sent[]; songs: Sent[] }> {
  const send = async (kind: Kind, event: Json, n: number): Promise<Sent> => {
    const key = `${kind}-${n}`
    const { status, body } = await post(`${addresses.receiver}/stats/${kind}`, event, { 'idempotency-key': key })
    assert.equal(status, 201, JSON.stringify(body))
    assert.deepEqual(Object.keys(body), ['trace_id'])
    return { stored: { ...asStored(event), event_id: key, trace_id: body.trace_id } }
  }
  const sent: { runs: Sent[]; songs: Sent[] } = { runs: [], songs: [] }
  for (const [n, run] of runs.entries()) sent.runs.push(await send('running', run, n))
  for (const [n, song] of songs.entries()) sent.songs.push(await send('music', song, n))
  return sent
}

async function whatUsersSee({ addresses: { storage, processing } }: Runify): Promise<unknown> {
  // These two tell up to where it has read, and repeats are read too.
  const { as_of: _, last_updated: __, ...statistics } = await getJson(`${processing}/stats`)
  return {
    statistics,
    counts: await getJson(`${storage}/stats`),
    runs: await getList(`${storage}/stats/running`),
    songs: await getList(`${storage}/stats/music`),
  }
}

/** By `timestamp`, then `trace_id`, as Storage promises. */
function inOrder(sent: readonly Sent[]): Json[] {
  const keyOf = ({ timestamp, trace_id }: Json) => `${timestamp} ${trace_id}`
  return sent.map(({ stored }) => stored).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
}

function withoutDates(stored: readonly Json[]): Json[] {
  return stored.map(({ date_created: _, ...event }) => event)
}

function traceIds(sent: readonly Sent[]): unknown[] {
  return sent.map(({ stored }) => stored.trace_id)
}
