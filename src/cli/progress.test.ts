import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { describe, test } from 'node:test'
import { Progress } from './progress.ts'

function start({
  isTTY = false,
  quiet = false,
  bytesTotal,
}: {
  isTTY?: boolean
  quiet?: boolean
  bytesTotal?: number
}) {
  let written = ''
  let nowMs = 0
  const sink = new Writable({
    decodeStrings: false,
    write(text: string, _, done) {
      written += text
      done()
    },
  })
  const stream = Object.assign(sink, { isTTY, columns: 80 }) as unknown as NodeJS.WriteStream
  const progress = new Progress(stream, { quiet, bytesTotal, now: () => nowMs })
  const after = (ms: number) => {
    nowMs += ms
    return progress
  }
  return { after, written: () => written }
}

describe('progress', () => {
  test('is a line every 5 seconds where there is no terminal', () => {
    const { after, written } = start({ bytesTotal: 1000 })
    after(1000).addBytes(100)
    after(3999).addEvents(1000)
    assert.equal(written(), '')
    after(1).addBytes(400)
    after(4999).addEvents(1000)
    assert.equal(written(), '50 %  1,000 events  200/s  0:05 left\n')
  })

  test('says nothing of the end where the size is not known', () => {
    const { after, written } = start({})
    after(5000).addEvents(10)
    assert.equal(written(), '10 events  2/s\n')
  })

  test('is a bar that redraws itself on a terminal, fits its width and goes away', () => {
    const { after, written } = start({ isTTY: true, bytesTotal: 1000 })
    after(100).addBytes(500)
    after(100).addBytes(250)
    after(0).end()
    const [, first, second, rest] = written().split('\r\x1b[K')
    assert.match(first ?? '', /^\S+░+ {2}50 %/)
    assert.match(second ?? '', /75 %/)
    assert.ok((second ?? '').length < 80)
    assert.equal(rest, '')
  })

  test('says the same thing once until something has happened', () => {
    const { after, written } = start({})
    for (let request = 0; request < 4; request++) after(1).note('away')
    after(1).addEvents(1)
    after(1).note('away')
    assert.equal(written(), 'away\naway\n')
  })

  test('is silent when it is told to be', () => {
    const { after, written } = start({ quiet: true, isTTY: true, bytesTotal: 10 })
    after(9000).addBytes(5)
    after(9000).note('hello')
    after(0).end()
    assert.equal(written(), '')
  })
})
