import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { asStored, type Kind, makeEvent, toNdjson } from './events.ts'
import { type Answer, getJson, getList, type Json, post, type Runify, settled } from './harness.ts'
import { recount, recountDays, statisticsOf } from './recount.ts'

type Form = 'one' | 'array' | 'lines'
type SentRequest = { kind: Kind; form: Form; events: Json[] }

const SENDERS = 6
/** One request in so many is sent although it was answered already, as by a client that has forgotten. */
const REPEAT_EVERY = 25
const RETRY_MS = 100

/** A client that keeps what it was answered, and sends everything else again until it is. */
export class RetryingClient {
  readonly #requests: SentRequest[]
  #answered = new Map<SentRequest, Json>()
  #waiting: { at: number; resolve: () => void } | undefined
  /** Acknowledged so far. */
  events = 0
  /** Requests that got no answer, or one that says to come again. */
  unanswered = 0

  constructor({ events, users }: { events: number; users: number }) {
    this.#requests = makeRequests(events, users)
  }

  /** Resolves when at least so many events have been acknowledged. */
  acknowledged(at: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting = { at, resolve }
    if (this.events >= at) resolve()
    return promise
  }

  /** Sends what is not answered yet, each once, until the signal says that nobody is there any more. */
  async sendOnce(receiver: string, gone?: AbortSignal): Promise<void> {
    await this.#sendEach(gone, async (request) => {
      try {
        await this.#send(receiver, request)
      } catch (error) {
        // Killed in the middle of it, or before: it will be sent again.
        this.unanswered++
        if (gone === undefined) throw error
      }
    })
  }

  /** Sends what is not answered yet, each as often as it needs; a test that fails stops it by its signal. */
  async sendUntilAnswered(receiver: string, stop: AbortSignal): Promise<void> {
    await this.#sendEach(stop, async (request) => {
      while (!stop.aborted) {
        try {
          return await this.#send(receiver, request, stop)
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error
          this.unanswered++
          await sleep(RETRY_MS)
        }
      }
    })
  }

  /** The ids that were answered, by `event_id`; only single events are told theirs. */
  traceIds(): Map<string, unknown> {
    const answers = [...this.#answered].filter(([{ form }]) => form === 'one')
    return new Map(answers.map(([{ events }, { trace_id }]) => [events[0]?.event_id as string, trace_id]))
  }

  sent(): Json[] {
    return this.#requests.flatMap(({ events }) => events)
  }

  async #sendEach(stop: AbortSignal | undefined, send: (request: SentRequest) => Promise<void>): Promise<void> {
    this.unanswered = 0
    const queue = this.#requests.filter((request) => !this.#answered.has(request))
    const repeats = [...this.#answered.keys()].filter((_, at) => at % REPEAT_EVERY === 0)
    const todo = [...repeats, ...queue].values()
    const sender = async () => {
      for (const request of todo) {
        if (stop?.aborted) return
        await send(request)
      }
    }
    await Promise.all(Array.from({ length: SENDERS }, sender))
  }

  async #send(receiver: string, request: SentRequest, stop?: AbortSignal): Promise<void> {
    const { kind, form, events } = request
    const body = form === 'one' ? events[0] : form === 'array' ? events : toNdjson(events)
    const headers = { 'content-type': form === 'lines' ? 'application/x-ndjson' : 'application/json' }
    let answer: Answer
    // Too much at once, or a log that is unavailable: it says so, and when to come again.
    for (;;) {
      answer = await post(`${receiver}/stats/${kind}`, body, headers)
      if (answer.status !== 503) break
      this.unanswered++
      if (stop?.aborted) return
      await sleep(RETRY_MS)
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

/**
 * The end of every fault test: all that `client` was acknowledged is in Storage exactly once, with the values that were
 * sent and under the id that was answered, and Processing equals a recount of it.
 */
export async function checkExactlyOnce(
  client: RetryingClient,
  addresses: Pick<Runify['addresses'], 'storage' | 'processing'>,
  settledMs: number,
): Promise<void> {
  assert.equal(client.events, client.sent().length, 'everything was acknowledged in the end')
  await settled({ addresses }, settledMs)
  const stored = { runs: await readAll(addresses.storage, 'running'), songs: await readAll(addresses.storage, 'music') }
  checkStored(client, [...stored.runs, ...stored.songs])
  const statistics = await getJson(`${addresses.processing}/stats`)
  assert.equal(statistics.behind, 0)
  assert.deepEqual(statisticsOf(statistics), recount(stored))
  const days = await getList(`${addresses.processing}/stats/daily?limit=10000&time_zone=${ZONE}`)
  assert.deepEqual(days, recountDays(stored, ZONE))
}

/** Its days begin in the midst of an hour of UTC. */
const ZONE = 'Asia/Kathmandu'

/** Both types by turns, of some users, in requests of all forms and many sizes. */
function makeRequests(count: number, users: number): SentRequest[] {
  const userIds = Array.from({ length: users }, () => randomUUID())
  const requests: SentRequest[] = []
  const next = { running: 0, music: 0 }
  const sizes = [1, 700, 1, 90, 1500, 1, 250, 1, 33, 1, 5, 1000]
  for (let made = 0, at = 0; made < count; at++) {
    const kind: Kind = at % 2 === 0 ? 'running' : 'music'
    const size = Math.min(sizes[Math.floor(at / 2) % sizes.length] as number, count - made)
    const form: Form = size === 1 ? 'one' : at % 3 === 0 ? 'array' : 'lines'
    const events = Array.from({ length: size }, () => {
      const n = next[kind]++
      return makeEvent(kind, n, { user_id: userIds[n % users], event_id: `${kind}-${n}` })
    })
    requests.push({ kind, form, events })
    made += size
  }
  return requests
}

async function readAll(storage: string, kind: Kind): Promise<Json[]> {
  const response = await fetch(`${storage}/stats/${kind}`, { headers: { accept: 'application/x-ndjson' } })
  assert.equal(response.status, 200)
  const events: Json[] = []
  const lines = createInterface({ input: Readable.fromWeb(response.body as never) })
  for await (const line of lines) events.push(JSON.parse(line) as Json)
  return events
}

function checkStored(client: RetryingClient, stored: Json[]): void {
  const sent = client.sent()
  assert.equal(stored.length, sent.length)
  assert.equal(new Set(stored.map(({ trace_id }) => trace_id)).size, sent.length)
  const traceIds = client.traceIds()
  const byId = new Map(stored.map((event) => [event.event_id, event]))
  for (const event of sent) {
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
