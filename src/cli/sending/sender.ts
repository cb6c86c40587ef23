import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer, Decision, SendClient } from '../../clients/send-client.ts'
import type { EventType } from '../../events/catalogue.ts'
import { CommandError } from '../command.ts'
import type { Progress } from '../progress.ts'
import { EventLineReader } from './event-line.ts'
import { type Input, readLines } from './line-reader.ts'
import { Rejections } from './rejections.ts'

export type SenderOptions = {
  type: EventType | undefined
  /** Lines a request. */
  chunkLines: number
  /** Requests under way at a time. */
  concurrency: number
  /**
   * Whether lines without an `event_id` get one. Without them a chunk whose fate is unknown is not sent again, and
   * chunks go one at a time in the order of the file, so that one line number says what was acknowledged.
   */
  eventIds: boolean
  /** How long a chunk is sent again and again while the Receiver is unavailable, milliseconds. */
  retryMs: number
}

export type SenderDeps = { client: SendClient; progress: Progress; now: () => number; signal: AbortSignal }

export type Outcome = {
  accepted: number
  rejections: Rejections
  /** Why not everything was sent, and up to where it was. */
  failure: string | undefined
}

/** Sends every good event of the inputs, in order. Resolves, never throws, for what happens on the way. */
export function sendInputs(inputs: readonly Input[], options: SenderOptions, deps: SenderDeps): Promise<Outcome> {
  return new Sender(inputs, options, deps).run()
}

const RETRY_DELAY_MS = 500
/** With it a chunk is tried 10 times in 60 s. */
const RETRY_DELAY_MS_MAX = 10_000
const CHUNK_BYTES_MAX = 1024 * 1024
const NEWLINE = Buffer.from('\n')

/** Lines of one type and input that go in one request. */
class Chunk {
  readonly input: Input
  readonly type: EventType
  readonly lines: number[] = []
  readonly #parts: Buffer[] = []
  bytes = 0
  /** Whether each line has an id, so that storing it again changes nothing. */
  repeatable = true

  constructor(input: Input, type: EventType) {
    this.input = input
    this.type = type
  }

  add(line: number, { bytes, hasEventId }: { bytes: Buffer; hasEventId: boolean }): void {
    this.lines.push(line)
    this.#parts.push(bytes, NEWLINE)
    this.bytes += bytes.byteLength + NEWLINE.byteLength
    this.repeatable &&= hasEventId
  }

  /** Leaves out the first lines: they are decided. */
  dropFirst(count: number): void {
    this.lines.splice(0, count)
    for (const part of this.#parts.splice(0, 2 * count)) this.bytes -= part.byteLength
  }

  body(): Buffer {
    return Buffer.concat(this.#parts, this.bytes)
  }
}

/** Each line that was read is rejected, in a chunk of `#open`, or acknowledged; a chunk leaves `#open` by an answer. */
class Sender {
  readonly #inputs: readonly Input[]
  readonly #options: SenderOptions
  readonly #deps: SenderDeps
  /** Ends reading and waiting, after a failure or from outside. What is under way still gets its answer. */
  readonly #stop = new AbortController()
  readonly #open = new Set<Chunk>()
  readonly #underWay = new Set<Promise<void>>()
  readonly #rejections = new Rejections()
  #accepted = 0
  #failure: { detail: string; chunk?: Chunk } | undefined

  constructor(inputs: readonly Input[], options: SenderOptions, deps: SenderDeps) {
    this.#inputs = inputs
    this.#options = options
    this.#deps = deps
  }

  async run(): Promise<Outcome> {
    const interrupt = () => this.#fail({ detail: 'it was interrupted' })
    this.#deps.signal.addEventListener('abort', interrupt, { once: true })
    try {
      for (const input of this.#inputs) await this.#sendInput(input)
    } catch (error) {
      // The end of the reading that a failure has caused is no further failure.
      if (!(error instanceof CommandError)) throw error
      this.#fail({ detail: error.message })
    } finally {
      await Promise.all(this.#underWay)
      this.#deps.signal.removeEventListener('abort', interrupt)
    }
    return { accepted: this.#accepted, rejections: this.#rejections, failure: this.#describeFailure() }
  }

  async #sendInput(input: Input): Promise<void> {
    const { type, eventIds, chunkLines } = this.#options
    const events = new EventLineReader(input.name, { type, addEventIds: eventIds })
    const chunks = new Map<EventType, Chunk>()
    const reading = { onBytes: (bytes: number) => this.#deps.progress.addBytes(bytes), signal: this.#stop.signal }
    for await (const lines of readLines(input, reading)) {
      for (const line of lines) {
        const event = events.read(line)
        if (!event.ok) {
          this.#rejections.add({ input: input.name, line: line.number, errors: event.errors })
          this.#deps.progress.addEvents(1)
          continue
        }
        if (!eventIds && !chunks.has(event.type)) await this.#dispatchAll(chunks)
        const chunk = chunks.get(event.type) ?? this.#openChunk(input, event.type)
        chunks.set(event.type, chunk)
        chunk.add(line.number, event)
        if (chunk.lines.length < chunkLines && chunk.bytes < CHUNK_BYTES_MAX) continue
        chunks.delete(event.type)
        await this.#dispatch(chunk)
      }
    }
    await this.#dispatchAll(chunks)
  }

  #openChunk(input: Input, type: EventType): Chunk {
    const chunk = new Chunk(input, type)
    this.#open.add(chunk)
    return chunk
  }

  async #dispatchAll(chunks: Map<EventType, Chunk>): Promise<void> {
    for (const chunk of chunks.values()) await this.#dispatch(chunk)
    chunks.clear()
  }

  /** Resolves when the chunk is on its way, which is as soon as there is room for it. */
  async #dispatch(chunk: Chunk): Promise<void> {
    const limit = this.#options.eventIds ? this.#options.concurrency : 1
    while (this.#underWay.size >= limit) await Promise.race(this.#underWay)
    if (this.#failure !== undefined) throw new CommandError(this.#failure.detail)
    const delivery = this.#deliver(chunk).finally(() => this.#underWay.delete(delivery))
    this.#underWay.add(delivery)
  }

  async #deliver(chunk: Chunk): Promise<void> {
    const answer = await this.#post(chunk)
    if (answer.kind !== 'decided') {
      const perhaps = answer.kind === 'away' && answer.stored === 'perhaps'
      const what = answer.kind === 'away' ? 'cannot be reached or is unavailable' : 'refuses the events'
      this.#fail({
        detail: `the Receiver at ${this.#deps.client.address} ${what}: ${answer.detail}`,
        ...(perhaps && { chunk }),
      })
      return
    }
    this.#open.delete(chunk)
    this.#addDecided(chunk, answer)
  }

  /** Sends a chunk until there is an answer, or sending it again could store it twice, or there is no more time. */
  async #post(chunk: Chunk): Promise<Answer> {
    const { client, progress, now } = this.#deps
    let deadline: number | undefined
    for (let delayMs = RETRY_DELAY_MS; ; delayMs = Math.min(2 * delayMs, RETRY_DELAY_MS_MAX)) {
      const answer = await client.post(chunk.type, { body: chunk.body(), lines: chunk.lines.length })
      if (answer.kind !== 'away' || !answer.retryable) return answer
      if (answer.first !== undefined) {
        const { accepted, rejected } = answer.first
        this.#addDecided(chunk, answer.first)
        chunk.dropFirst(accepted + rejected)
      }
      if (answer.stored === 'perhaps' && !chunk.repeatable) return answer
      deadline ??= now() + this.#options.retryMs
      const waitMs = Math.max(delayMs, answer.retryAfterMs)
      if (now() + waitMs > deadline || this.#stop.signal.aborted) return answer
      progress.note(
        `the Receiver at ${client.address} is unavailable: ${answer.detail}; trying again in ${waitMs / 1000} s`,
      )
      await sleep(waitMs, undefined, { signal: this.#stop.signal }).catch(() => undefined)
      if (this.#stop.signal.aborted) return answer
    }
  }

  #addDecided(chunk: Chunk, decision: Decision): void {
    this.#accepted += decision.accepted
    this.#addRejected(chunk, decision)
    this.#deps.progress.addEvents(decision.accepted + decision.rejected)
  }

  #addRejected(chunk: Chunk, { rejected, errors }: Decision): void {
    const input = chunk.input.name
    let listed = 0
    for (const [index, ofLine] of Map.groupBy(errors, (error) => error.index)) {
      const line = chunk.lines[index]
      if (line === undefined || listed === rejected) continue
      listed++
      this.#rejections.add({ input, line, errors: ofLine })
    }
    if (rejected > listed) this.#rejections.addUnlisted(rejected - listed, `in ${linesOf(chunk)}`)
  }

  #fail(failure: { detail: string; chunk?: Chunk }): void {
    this.#failure ??= failure
    this.#stop.abort()
  }

  #describeFailure(): string | undefined {
    if (this.#failure === undefined) return undefined
    const { detail, chunk } = this.#failure
    const sentences = [detail, this.#describeAcknowledged()]
    if (this.#options.eventIds) sentences.push('what is sent again is not stored twice')
    else if (chunk !== undefined) sentences.push(`${linesOf(chunk)} may have been stored`)
    return sentences.join('; ')
  }

  #describeAcknowledged(): string {
    const first = [...this.#open].sort(
      (a, b) => this.#inputs.indexOf(a.input) - this.#inputs.indexOf(b.input) || (a.lines[0] ?? 0) - (b.lines[0] ?? 0),
    )[0]
    if (first === undefined) return 'every event that was read was acknowledged'
    const lastLine = (first.lines[0] ?? 1) - 1
    if (lastLine > 0) return `acknowledged up to line ${lastLine} of ${first.input.name}`
    const before = this.#inputs.indexOf(first.input) - 1
    return before < 0 ? 'no line was acknowledged' : `acknowledged up to the end of ${this.#inputs[before]?.name}`
  }
}

function linesOf({ input, lines, type }: Chunk): string {
  return `lines ${lines[0]} to ${lines.at(-1)} of ${input.name} (${type})`
}
