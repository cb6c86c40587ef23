import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type TextRow, TextWriter, textColumns } from './event-text.ts'

/** The columns of a play, as the store gives them. */
function playRow(song_name: string): TextRow {
  const values: Record<string, string | number> = {
    ...{ user_id: '0'.repeat(32), trace_id: 'f'.repeat(32) },
    ...{ song_name, artist: 'an artist', song_duration: 61.5, timestamp: 0, date_created: 1 },
  }
  return textColumns('music_info').map(({ name }) => values[name] ?? null)
}

function songsOf(text: Buffer): string[] {
  return (JSON.parse(text.toString()) as { song_name: string }[]).map(({ song_name }) => song_name)
}

test('A text grows as far as it must, whatever its characters are', () => {
  const names = Array.from({ length: 1500 }, (_, at) => `${at} ${'𝄞é"\\'.repeat(100)}`)
  const writer = new TextWriter('music_info', 'json')
  for (const name of names) writer.add(playRow(name))
  assert.deepEqual(songsOf(writer.end()), names)
})

test('A text that was given stays as it is, whatever is written at the same time and later', () => {
  const names = (writer: number) => Array.from({ length: 50 }, (_, at) => `${writer}: ${at}`)
  const given: Buffer[] = []
  for (let round = 0; round < 3; round++) {
    const writers = Array.from({ length: 8 }, () => new TextWriter('music_info', 'json'))
    for (let at = 0; at < 50; at++) {
      for (const [index, writer] of writers.entries()) writer.add(playRow(names(index)[at] as string))
    }
    given.push(...writers.map((writer) => writer.end()))
  }
  for (const [index, text] of given.entries()) assert.deepEqual(songsOf(text), names(index % 8))
})

test('A text of no events is an empty array, or nothing', () => {
  const empty = (['json', 'ndjson', 'csv'] as const).map((format) => new TextWriter('running_stats', format).end())
  assert.deepEqual(empty.map(String), ['[]', '', ''])
})
