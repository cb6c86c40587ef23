import assert from 'node:assert/strict'
import { randomInt, randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { asStored, type Kind, makeEvent, toNdjson } from '../events.ts'
import {
  type Answer,
  getJson,
  type Json,
  post,
  type Runify,
  settled,
  spawnRunify,
  temporaryFolder,
} from '../harness.ts'
import { recount, statisticsOf } from '../recount.ts'

/** The first invariant: what was acknowledged is never lost and never counted twice, through kill -9 at any moment. */

const EVENTS = 100_000
const SENDERS = 6
/** After about so many acknowledged events the process is killed; the rest of the digits is left to chance. */
const KILL_AFTER = [10_000, 40_000, 75_000]
/** One request in so many is sent although it was answered already, as by a client that has forgotten. */
const REPEAT_EVERY = 25
const BUSY_RETRY_MS = 100

test('kill -9 loses nothing that was acknowledged and doubles nothing that was sent again', async (t) => {
  await using folder = await temporaryFolder()
  const client = new Client(makeRequests())
  for (const about of KILL_AFTER) {
    const at = about + randomInt(10_000)
    await using runify = await spawnRunify({ dir: folder.path, RUNIFY_LOG_LEVEL: 'info' })
    const stop = new AbortController()
    const sending = client.sendAll(runify.addresses.receiver, stop.signal)
    await client.acknowledged(at)
    await runify.kill('SIGKILL')
    stop.abort()
    await sending
    t.diagnostic(
      `killed at ${at}, with ${client.events} events acknowledged and ${client.unanswered} requests unanswered`,
    )
    assert.ok(client.unanswered > 0, 'it was killed while events were being sent')
  }

  await using runify = await spawnRunify({ dir: folder.path })
  await client.sendAll(runify.addresses.receiver)
  assert.equal(client.events, EVENTS)
  await settled(runify, 60_000)

  const stored = { runs: await readAll(runify, 'running'), songs: await readAll(runify, 'music') }
  checkStored(client, [...stored.runs, ...stored.songs])
  const statistics = await getJson(`${runify.addresses.processing}/stats`)
  assert.equal(statistics.behind, 0)
  assert.deepEqual(statisticsOf(statistics), recount(stored))
})

type Form = 'one' | 'array' | 'lines'
type SentRequest = { kind: Kind; form: Form; events: Json[] }

/** A client that keeps what it was answered, and sends everything else again until it is. */
class Client {
  readonly #requests: SentRequest[]
  #answered = new Map<SentRequest, Json>()
  #waiting: { at: number; resolve: () => void } | undefined
  events = 0
  unanswered = 0

  constructor(requests: SentRequest[]) {
    this.#requests = requests
  }

  /** Resolves when at least so many events have been acknowledged. */
  acknowledged(at: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting = { at, resolve }
    return promise
  }

  /** Sends what is not answered yet, until all is, or until the signal says that nobody is there any more. */
  async sendAll(receiver: string, gone?: AbortSignal): Promise<void> {
    this.unanswered = 0
    const queue = this.#requests.filter((request) => !this.#answered.has(request))
    const repeats = [...this.#answered.keys()].filter((_, at) => at % REPEAT_EVERY === 0)
    const todo = [...repeats, ...queue].values()
    const sender = async () => {
      for (const request of todo) {
        if (gone?.aborted) return
        await this.#send(receiver, request, gone)
      }
    }
    await Promise.all(Array.from({ length: SENDERS }, sender))
  }

  traceIds(): Map<string, unknown> {
    const answers = [...this.#answered].filter(([{ form }]) => form === 'one')
    return new Map(answers.map(([{ events }, { trace_id }]) => [events[0]?.event_id as string, trace_id]))
  }

  sent(): Json[] {
    return this.#requests.flatMap(({ events }) => events)
  }

  async #send(receiver: string, request: SentRequest, gone?: AbortSignal): Promise<void> {
    const { kind, form, events } = request
    const body = form === 'one' ? events[0] : form === 'array' ? events : toNdjson(events)
    const headers = { 'content-type': form === 'lines' ? 'application/x-ndjson' : 'application/json' }
    let answer: Answer
    try {
      answer = await post(`${receiver}/stats/${kind}`, body, headers)
      // Too much at once is no fault here: on a busy machine it is what the Receiver has to say.
      while (answer.status === 503) {
        await sleep(BUSY_RETRY_MS)
        answer = await post(`${receiver}/stats/${kind}`, body, headers)
      }
    } catch (error) {
      // Killed in the middle of it, or before: it will be sent again.
      this.unanswered++
      if (gone === undefined) throw error
      return
    }
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    if (form !== 'one') assert.deepEqual(answer.body, { accepted: events.length, rejected: 0 })
    this.#keep(request, answer.body)
  }

  #keep(request: SentRequest, answer: Json): void {
    const before = this.#answered.get(request)
    if (before !== undefined) {
      assert.deepEqual(answer, before)
      return
    }
    this.#answered.set(request, answer)
    this.events += request.events.length
    if (this.#waiting !== undefined && this.events >= this.#waiting.at) this.#waiting.resolve()
  }
}

/** Both types by turns, of a few users, in requests of all forms and many sizes. */
function makeRequests(): SentRequest[] {
  const users = Array.from({ length: 7 }, () => randomUUID())
  const requests: SentRequest[] = []
  const next = { running: 0, music: 0 }
  const sizes = [1, 700, 1, 90, 1500, 1, 250, 1, 33, 1, 5, 1000]
  for (let made = 0, at = 0; made < EVENTS; at++) {
    const kind: Kind = at % 2 === 0 ? 'running' : 'music'
    const size = Math.min(sizes[Math.floor(at / 2) % sizes.length] as number, EVENTS - made)
    const form: Form = size === 1 ? 'one' : at % 3 === 0 ? 'array' : 'lines'
    const events = Array.from({ length: size }, () => {
      const n = next[kind]++
      return makeEvent(kind, n, { user_id: users[n % users.length], event_id: `${kind}-${n}` })
    })
    requests.push({ kind, form, events })
    made += size
  }
  return requests
}

async function readAll({ addresses }: Runify, kind: Kind): Promise<Json[]> {
  const response = await fetch(`${addresses.storage}/stats/${kind}`, { headers: { accept: 'application/x-ndjson' } })
  assert.equal(response.status, 200)
  const events: Json[] = []
  const lines = createInterface({ input: Readable.fromWeb(response.body as never) })
  for await (const line of lines) events.push(JSON.parse(line) as Json)
  return events
}

/** Every event once, with the values that were sent, under the id that was answered. */
function checkStored(client: Client, stored: Json[]): void {
  assert.equal(stored.length, EVENTS)
  assert.equal(new Set(stored.map(({ trace_id }) => trace_id)).size, EVENTS)
  const traceIds = client.traceIds()
  const byId = new Map(stored.map((event) => [event.event_id, event]))
  for (const event of client.sent()) {
    const {
      trace_id,
      date_created: _,
      ...values
    } = byId.get(event.event_id) ?? assert.fail(`${event.event_id} is lost`)
    assert.deepEqual(values, asStored(event))
    const answered = traceIds.get(event.event_id as string)
    if (answered !== undefined) assert.equal(trace_id, answered)
  }
}
