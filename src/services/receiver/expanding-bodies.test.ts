import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { constants, createZstdCompress, gzipSync, zstdCompressSync } from 'node:zlib'
import { readConfig } from '../../config.ts'
import { CATALOGUE } from '../../events/catalogue.ts'
import { EmbeddedLog } from '../../log/embedded/embedded-log.ts'
import { createTelemetry } from '../../telemetry.ts'
import { createReceiver } from './receiver.ts'
import { receiverTelemetry } from './telemetry.ts'

const MIB = 1024 * 1024
const EVENT = JSON.stringify(CATALOGUE.running_stats.example)
/** All of 2 GiB takes 19 s where nothing else runs, and over a minute where tests do. */
const ANSWER_MS_MAX = 15_000

describe('A small body that unpacks to a huge one', () => {
  const opened = new AsyncDisposableStack()
  let address: string
  before(async () => {
    const { path: dir } = opened.use(await mkdtempDisposable(join(tmpdir(), 'runify-test-')))
    const log = opened.use(new EmbeddedLog({ dir }))
    const config = readConfig({ RUNIFY_DATA_DIR: dir })
    const server = opened.use(
      await createReceiver({ log, config, telemetry: receiverTelemetry(createTelemetry('receiver', 'silent')) }),
    )
    address = await server.listen(0, 'RECEIVER_PORT')
  })
  after(() => opened.disposeAsync())

  const send = async (body: Buffer, encoding?: string) => {
    const began = performance.now()
    const response = await fetch(`${address}/stats/running`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', ...(encoding && { 'content-encoding': encoding }) },
      body: new Uint8Array(body),
    })
    const ms = performance.now() - began
    return { status: response.status, ms, problem: (await response.json()) as Record<string, unknown> }
  }

  for (const encoding of ['gzip', 'zstd'] as const) {
    test(`of lines without content stops soon, in ${encoding}`, async () => {
      const { status, ms, problem } = await send(await bomb(encoding, '\n'), encoding)
      assert.deepEqual([status, problem.code], [413, 'body_too_large'])
      assert.match(problem.detail as string, /unpacks to over 200 times its size/)
      assert.ok(ms < ANSWER_MS_MAX, `it took ${ms} ms`)
    })

    test(`of one line stops soon, in ${encoding}`, async () => {
      const { status, ms, problem } = await send(await bomb(encoding, ' '), encoding)
      assert.deepEqual([status, problem.code], [400, 'invalid_events'])
      assert.ok(ms < ANSWER_MS_MAX, `it took ${ms} ms`)
    })
  }

  test('of many frames of zstd stops soon', async () => {
    const frame = zstdCompressSync(Buffer.alloc(16 * MIB, '\n'))
    const { status, ms, problem } = await send(Buffer.concat(Array(128).fill(frame)), 'zstd')
    assert.deepEqual([status, problem.code], [413, 'body_too_large'])
    assert.ok(ms < ANSWER_MS_MAX, `it took ${ms} ms`)
  })

  test('behind events leaves those in the log and says so', async () => {
    const { status, problem } = await send(Buffer.concat([Buffer.from(`${EVENT}\n`), Buffer.alloc(40 * MIB, ' ')]))
    assert.deepEqual([status, problem.code, problem.accepted], [413, 'body_too_large', 1])
    assert.match(problem.detail as string, /line 1 does not come to an end.*1 events before that were accepted/)
  })

  test('is taken where it is of events, however much alike they are', async () => {
    const body = Buffer.from(`${EVENT.replace('}', ',"event_id":"a"}')}\n`.repeat(2000))
    const { status, problem } = await send(zstdCompressSync(body), 'zstd')
    assert.deepEqual([status, problem], [201, { accepted: 2000, rejected: 0 }])
  })

  test('is refused where it needs a larger window than encoders may ask for', async () => {
    const params = { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_enableLongDistanceMatching]: 1 }
    const { status, problem } = await send(zstdCompressSync(Buffer.alloc(130 * MIB, '\n'), { params }), 'zstd')
    assert.deepEqual([status, problem.code], [400, 'invalid_encoding'])
  })

  test('holds its place among a few, and gives it back', async () => {
    const { hostname, port } = new URL(address)
    const head =
      'POST /stats/running HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-encoding: zstd\r\n'
    const sockets = Array.from({ length: 10 }, () => connect(Number(port), hostname))
    try {
      const refused = Promise.withResolvers<void>()
      let answered = 0
      for (const socket of sockets) {
        socket.on('error', () => {}).write(`${head}content-length: 1000\r\n\r\n`)
        socket.once('data', (answer) => {
          assert.match(answer.toString('latin1'), /^HTTP\/1\.1 503 /)
          if (++answered === 2) refused.resolve()
        })
      }
      await refused.promise
      const event = zstdCompressSync(Buffer.from(EVENT))
      assert.equal((await send(event, 'zstd')).status, 503)
      for (const socket of sockets) socket.destroy()
      const end = performance.now() + ANSWER_MS_MAX
      while ((await send(event, 'zstd')).status !== 201) assert.ok(performance.now() < end, 'no place comes free')
    } finally {
      for (const socket of sockets) socket.destroy()
    }
  })
})

/** 2 GiB of one character; in gzip as many members, because it is slow. */
async function bomb(encoding: 'gzip' | 'zstd', character: string): Promise<Buffer> {
  const part = Buffer.alloc(16 * MIB, character)
  if (encoding === 'gzip') return Buffer.concat(Array(128).fill(gzipSync(part)))
  const encoder = createZstdCompress()
  const chunks: Buffer[] = []
  encoder.on('data', (chunk: Buffer) => chunks.push(chunk))
  for (let n = 0; n < 128; n++) await new Promise<void>((resolve) => encoder.write(part, () => resolve()))
  await new Promise<void>((resolve) => encoder.once('end', resolve).end())
  return Buffer.concat(chunks)
}
