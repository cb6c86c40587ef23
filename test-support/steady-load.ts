import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fromNdjson, type Kind, makeEvent } from './events.ts'
import { getJson, type Json, type Runify } from './harness.ts'
import { recount, statisticsOf } from './recount.ts'

const BATCH = 20
const PAUSE_MS = 20
const USERS = 5

/** A client that sends a few events of both types after each other until it is stopped, and knows which were acknowledged. */
export class SteadyLoad {
  readonly #receiver: string
  readonly #users = Array.from({ length: USERS }, () => randomUUID())
  readonly #stop = new AbortController()
  readonly #sending: Promise<void>
  readonly acknowledged: Json[] = []
  #sent = 0

  constructor(receiver: string) {
    this.#receiver = receiver
    this.#sending = this.#send()
    // Whoever stops it is told.
    this.#sending.catch(() => {})
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#sending
  }

  async #send(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const kind: Kind = this.#sent % (2 * BATCH) === 0 ? 'running' : 'music'
      const events = Array.from({ length: BATCH }, () => {
        const n = this.#sent++
        return makeEvent(kind, n, { user_id: this.#users[n % USERS], event_id: `steady-${n}` })
      })
      await this.#acknowledge(kind, events)
      this.acknowledged.push(...events)
      await sleep(PAUSE_MS)
    }
  }

  /** Again until it is answered, as every client does. */
  async #acknowledge(kind: Kind, events: readonly Json[]): Promise<void> {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(events) }
    for (;;) {
      const status = await fetch(`${this.#receiver}/stats/${kind}`, init).then(
        async (response) => {
          await response.text()
          return response.status
        },
        () => 503,
      )
      if (status === 201) return
      assert.equal(status, 503)
      await sleep(PAUSE_MS)
    }
  }
}

/** All of these are stored, none of all is stored twice, and the statistics are a recount. To be asked when all is settled. */
export async function checkAllThere(
  { storage, processing }: Pick<Runify['addresses'], 'storage' | 'processing'>,
  acknowledged: readonly Json[],
): Promise<void> {
  const read = async (kind: Kind) => {
    const response = await fetch(`${storage}/stats/${kind}`, { headers: { accept: 'application/x-ndjson' } })
    assert.equal(response.status, 200)
    return fromNdjson(await response.text())
  }
  const [runs, songs] = [await read('running'), await read('music')]
  const idOf = ({ user_id, event_id }: Json) => `${user_id} ${event_id}`
  const stored = [...runs, ...songs].map(idOf)
  assert.equal(new Set(stored).size, stored.length, 'no event is stored twice')
  const missing = new Set(acknowledged.map(idOf)).difference(new Set(stored))
  assert.deepEqual([...missing].slice(0, 5), [], `${missing.size} events are lost`)
  assert.deepEqual(statisticsOf(await getJson(`${processing}/stats`)), recount({ runs, songs }))
}
