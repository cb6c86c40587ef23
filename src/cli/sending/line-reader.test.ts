import assert from 'node:assert/strict'
import { mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { CommandError } from '../command.ts'
import { findInput, LINE_BYTES_MAX, readLines } from './line-reader.ts'

async function read(path: string, signal = new AbortController().signal) {
  const input = await findInput(path, process.stdin)
  const lines: [number, string][] = []
  let bytes = 0
  const onBytes = (more: number) => {
    bytes += more
  }
  for await (const some of readLines(input, { onBytes, signal })) {
    for (const line of some) lines.push([line.number, Buffer.isBuffer(line.bytes) ? line.bytes.toString() : 'too long'])
  }
  return { lines, bytes, bytesTotal: input.bytes }
}

describe('lines of a file', () => {
  test('are numbered from 1 with the blank ones, and come without white space around them', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-lines-'))
    const path = join(folder.path, 'a.ndjson')
    await writeFile(path, '\ufeffone\r\n\n \t\r\n  two \nthree')
    const { lines, bytes, bytesTotal } = await read(path)
    assert.deepEqual(lines, [
      [1, 'one'],
      [4, 'two'],
      [5, 'three'],
    ])
    assert.equal(bytes, bytesTotal)
  })

  test('that are too long are told and the next ones still come', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-lines-'))
    const path = join(folder.path, 'a.ndjson')
    const longest = 'x'.repeat(LINE_BYTES_MAX)
    await writeFile(path, `one\n${longest}\n${longest}x\n${longest.repeat(20)}\nlast\n`)
    const { lines } = await read(path)
    assert.deepEqual(lines, [
      [1, 'one'],
      [2, longest],
      [3, 'too long'],
      [4, 'too long'],
      [5, 'last'],
    ])
  })

  test('come out of a gzip file, also of several put together', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-lines-'))
    const path = join(folder.path, 'a.ndjson.gz')
    await writeFile(path, Buffer.concat([gzipSync('one\ntw'), gzipSync('o\nthree\n')]))
    const { lines, bytes, bytesTotal } = await read(path)
    assert.deepEqual(lines, [
      [1, 'one'],
      [2, 'two'],
      [3, 'three'],
    ])
    assert.equal(bytes, bytesTotal)
  })

  test('of a gzip file that is cut off end with an error that names it', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-lines-'))
    const path = join(folder.path, 'a.ndjson.gz')
    await writeFile(path, gzipSync('one\n'.repeat(1000)).subarray(0, -10))
    await assert.rejects(read(path), (error) => error instanceof CommandError && error.message.includes(path))
  })

  test('end when they are no longer wanted', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'runify-lines-'))
    const path = join(folder.path, 'a.ndjson')
    await writeFile(path, 'one\n')
    await assert.rejects(read(path, AbortSignal.abort()), CommandError)
  })
})

test('a file that is not there, and a folder, are told before anything is read', async () => {
  await assert.rejects(findInput('/no/such/file', process.stdin), /cannot read \/no\/such\/file: ENOENT/)
  await assert.rejects(findInput(tmpdir(), process.stdin), CommandError)
})
