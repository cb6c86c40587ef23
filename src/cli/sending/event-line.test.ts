import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CATALOGUE } from '../../events/catalogue.ts'
import { checkEventText } from '../../events/check.ts'
import { EventLineReader, eventIdOf } from './event-line.ts'

const RUN = JSON.stringify(CATALOGUE.running_stats.example)
const PLAY = JSON.stringify(CATALOGUE.music_info.example)

function reader({
  name = 'events.ndjson',
  addEventIds = true,
  type,
}: {
  name?: string
  addEventIds?: boolean
  type?: 'running_stats'
} = {}) {
  const lines = new EventLineReader(name, { type, addEventIds })
  return (line: string) => lines.read({ number: 1, bytes: Buffer.from(line) })
}

function detailOf(read: ReturnType<ReturnType<typeof reader>>): string {
  assert.ok(!read.ok)
  return read.errors.map(({ pointer, detail }) => `${pointer} ${detail}`).join('; ')
}

describe('the type of a line', () => {
  test('follows from its fields, line by line', () => {
    const read = reader()
    for (const [line, type] of [
      [RUN, 'running_stats'],
      [PLAY, 'music_info'],
      [PLAY, 'music_info'],
      [RUN, 'running_stats'],
    ]) {
      const event = read(line as string)
      assert.ok(event.ok)
      assert.equal(event.type, type)
    }
  })

  test('follows from its fields also where the name of the file says something else', () => {
    const event = reader({ name: 'songs.ndjson' })(RUN)
    assert.ok(event.ok && event.type === 'running_stats')
  })

  test('decides which errors a bad line has', () => {
    const read = reader()
    assert.equal(detailOf(read('{"distance": -1}')).includes('/distance must be from 0'), true)
    assert.equal(detailOf(read('{"song_name": ""}')).includes('/song_name must have 1 to 512 characters'), true)
  })

  test('follows from the name of the file where the fields say nothing', () => {
    assert.match(detailOf(reader({ name: '/tmp/play-list.ndjson' })('{}')), /\/song_name is missing/)
    assert.match(detailOf(reader({ name: 'runs.ndjson' })('{}')), /\/distance is missing/)
  })

  test('that nothing tells, or that two things tell, is an error', () => {
    for (const name of ['events.ndjson', 'runify.ndjson', 'runs-and-songs.ndjson']) {
      assert.match(detailOf(reader({ name })('{}')), /has no field that tells its type/)
    }
    assert.match(detailOf(reader()('{"distance":1,"artist":"x"}')), /has fields of several types/)
    assert.match(detailOf(reader()('[1]')), /must be a JSON object/)
    assert.match(detailOf(reader()('{"distance":')), /is not valid JSON/)
  })

  test('is not looked for when it is given', () => {
    assert.match(detailOf(reader({ type: 'running_stats' })(PLAY)), /\/song_name is not a field of this event/)
  })
})

describe('the id of a line', () => {
  test('is made from its content, and every other byte stays', () => {
    const line = RUN.replace('4689.24', '4689.240000000000000001')
    const event = reader()(line)
    assert.ok(event.ok)
    assert.equal(event.bytes.toString(), `${line.slice(0, -1)},"event_id":"${eventIdOf(Buffer.from(line))}"}`)
    assert.match(eventIdOf(Buffer.from(line)), /^sha256-[0-9a-f]{32}$/)
    assert.ok(checkEventText('running_stats', event.bytes).ok)
  })

  test('stays where there is one, and is not made where none is wanted', () => {
    const own = `${RUN.slice(0, -1)},"event_id":"mine"}`
    const kept = reader()(own)
    const bare = reader({ addEventIds: false })(RUN)
    assert.ok(kept.ok && bare.ok)
    assert.deepEqual([kept.bytes.toString(), kept.hasEventId], [own, true])
    assert.deepEqual([bare.bytes.toString(), bare.hasEventId], [RUN, false])
  })
})
