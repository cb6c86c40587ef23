import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CATALOGUE, EVENT_TYPES, type EventType, type RunifyEvent } from '../../events/catalogue.ts'
import { toWire } from '../../events/codec.ts'
import { filterAndSort, openFilledStorage, USERS } from '../../services/storage/testing/storage.fixture.ts'
import { runCli } from '../testing/run-cli.fixture.ts'

const FOLDER = await mkdtempDisposable(join(tmpdir(), 'runify-export-'))
after(() => FOLDER.remove())
const path = (name: string) => join(FOLDER.path, name)

describe('runify export', () => {
  let storage: Awaited<ReturnType<typeof openFilledStorage>>
  before(async () => {
    storage = await openFilledStorage()
  })
  after(() => storage[Symbol.asyncDispose]())

  const run = (...args: string[]) => runCli(['export', '--storage', storage.address, ...args])
  const linesOf = (events: readonly RunifyEvent[]) =>
    events.map((event) => `${JSON.stringify(toWire(event))}\n`).join('')
  const inRange = (type: EventType, filter: Partial<Parameters<typeof filterAndSort>[1]> = {}) =>
    filterAndSort(storage.events, { type, by: 'timestamp', order: 'asc', ...filter })

  test('writes all events of both types to stdout', async () => {
    const { code, stdout, stderr } = await run()
    assert.deepEqual([code, stderr], [0, ''])
    assert.equal(stdout, EVENT_TYPES.map((type) => linesOf(inRange(type))).join(''))
  })

  test('writes a range, of a user, by the time of receipt, to a file, and says how many', async () => {
    const [from, to] = ['2024-01-01T00:00:01Z', '2024-01-01T01:00:04+01:00']
    const out = path('some.ndjson')
    const filter = ['--from', from, '--to', to, '--user', USERS[0] as string, '--by', 'date_created']
    const { code, stdout, stderr } = await run(...filter, '--type', 'running_stats', '--out', out)
    const range = { from: Date.parse(from), to: Date.parse(to) }
    const expected = inRange('running_stats', { ...range, user_id: USERS[0], by: 'date_created' })
    assert.ok(expected.length > 0)
    assert.deepEqual([code, stdout], [0, ''])
    assert.equal(await readFile(out, 'utf8'), linesOf(expected))
    assert.match(stderr, new RegExp(`^exported {2}${expected.length}\nduration {2}\\d+\\.\\d s\n$`))
  })

  test('writes CSV as Storage gives it', async () => {
    const { code, stdout } = await run('--type', 'music_info', '--format', 'csv')
    const headers = { accept: 'text/csv' }
    const expected = await (await fetch(`${storage.address}${CATALOGUE.music_info.path}`, { headers })).text()
    assert.deepEqual([code, stdout], [0, expected])
  })

  test('writes CSV for spreadsheets: no text is a formula, and a byte order mark stands before all', async () => {
    const server = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/csv' }).end('song_name,artist\r\n=1+1,"@A1, ""x"""\r\nÅ,a=b\r\n')
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const out = path('sheet.csv')
    const options = ['--type', 'music_info', '--format', 'csv', '--safe-for-spreadsheets', '--bom', '--out', out]
    const { code } = await runCli(['export', '--storage', address, ...options])
    server.close()
    assert.equal(code, 0)
    const safe = `\ufeffsong_name,artist\r\n'=1+1,"'@A1, ""x"""\r\nÅ,a=b\r\n`
    assert.deepEqual(await readFile(out), Buffer.from(safe))
  })

  test('says what is wrong with a command line', async () => {
    const wrong: Record<string, RegExp> = {
      '--bom': /need --format csv/,
      '--safe-for-spreadsheets --format ndjson': /need --format csv/,
      '--from yesterday': /--from must be an RFC 3339 date-time/,
      '--user me': /--user must be a UUID/,
      '--format csv': /--format csv needs --type/,
      '--by name': /--by must be timestamp or date_created/,
      'file.ndjson': /the file is --out/,
      '--storage localhost': /--storage must be an address/,
    }
    for (const [line, expected] of Object.entries(wrong)) {
      const { code, stdout, stderr } = await runCli(['export', ...line.split(' ')])
      assert.deepEqual([code, stdout], [2, ''])
      assert.match(stderr, expected)
    }
  })
})

describe('runify export leaves the file as it was', () => {
  const exportFrom = async (listener: RequestListener, ...args: string[]) => {
    const server = createServer(listener).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    const out = path('kept.ndjson')
    await writeFile(out, 'before')
    try {
      const result = await runCli(['export', '--storage', `http://127.0.0.1:${port}`, '--out', out, ...args])
      assert.equal(await readFile(out, 'utf8'), 'before')
      assert.deepEqual(
        (await readdir(FOLDER.path)).filter((name) => name.endsWith('.part')),
        [],
      )
      return result
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }

  test('when Storage breaks off in the midst of it', async () => {
    const { code, stderr } = await exportFrom((_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      response.write('{}\n', () => response.destroy())
    })
    assert.equal(code, 2)
    assert.match(stderr, /^runify export: http:\/\/127\.0\.0\.1:\d+ broke off: /)
  })

  test('when Storage refuses it, and says why', async () => {
    const { code, stderr } = await exportFrom((_, response) => {
      response.writeHead(401, { 'content-type': 'application/problem+json' }).end('{"detail": "send the key"}')
    })
    assert.equal(code, 2)
    assert.match(stderr, /answered 401 \(send the key\): see --key\n$/)
  })

  test('when nobody answers', async () => {
    const out = path('none.ndjson')
    const { code, stderr } = await runCli(['export', '--storage', 'http://127.0.0.1:1', '--out', out])
    assert.equal(code, 2)
    assert.match(stderr, /127\.0\.0\.1:1 does not answer: /)
    assert.ok(!existsSync(out) && !existsSync(`${out}.part`))
  })

  test('and shows the key that it is given', async () => {
    const seen: (string | undefined)[] = []
    const listener: RequestListener = (request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(503).end()
    }
    await exportFrom(listener, '--key', 'secret')
    const file = path('key')
    await writeFile(file, 'other\n')
    await exportFrom(listener, '--key-file', file)

    assert.deepEqual(seen, ['Bearer secret', 'Bearer other'])
  })
})
