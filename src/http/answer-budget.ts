import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { HttpProblem } from './problem.ts'

/** What an answer is taken to need until its size is known, where nothing says how many rows it has. */
export const ANSWER_BYTES = 16 * 1024
/** Of one that is made while it is sent: two pieces of it, and what is on its way. */
const STREAM_BYTES_MAX = 1024 * 1024
/** How long a request waits for its part before it is refused. */
const WAIT_MS_MAX = 15_000
/** While others wait, an answer of which no more could be written for so long is cut off. */
const STILL_MS_MAX = 10_000
const POLL_INTERVAL_MS = 1000

type Held = { bytes: number; written: number; since: number }
type Waiting = { response: ServerResponse; bytes: number; begin: () => void }

/**
 * Bytes of the answers that are being made or sent, so that clients that do not read cannot fill the memory. What is over
 * the bound waits in a line, and is refused after a while.
 */
export class AnswerBudget {
  static readonly #ofThread = new Map<number, AnswerBudget>()
  readonly #bytesMax: number
  readonly #held = new Map<ServerResponse, Held>()
  readonly #waiting = new Set<Waiting>()
  #bytes = 0
  #looking: NodeJS.Timeout | undefined

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** That which the services of this thread share. */
  static ofThread(bytesMax: number): AnswerBudget {
    const budget = AnswerBudget.#ofThread.get(bytesMax) ?? new AnswerBudget(bytesMax)
    AnswerBudget.#ofThread.set(bytesMax, budget)
    return budget
  }

  /**
   * Resolves when the answer may be made; what it takes is given back when the response is closed. Throws when it has waited
   * too long, and when nobody is there any more to read it.
   */
  async take(response: ServerResponse, bytesMax: number): Promise<void> {
    if (hasLeft(response)) throw new HttpProblem('overloaded', 'the client has gone')
    // One that is larger than all that there is has it alone.
    const bytes = Math.min(bytesMax, this.#bytesMax)
    if (this.#waiting.size > 0 || !this.#fits(bytes)) await this.#inTurn(response, bytes)
    else this.#hold(response, bytes)
  }

  /** Tells what is sent, now that it is known. */
  settle(response: ServerResponse, payload: unknown): void {
    const held = this.#held.get(response)
    if (held === undefined) return
    const bytes = payload instanceof Readable ? Math.min(held.bytes, STREAM_BYTES_MAX) : lengthOf(payload)
    this.#bytes += bytes - held.bytes
    held.bytes = bytes
    this.#beginWaiting()
  }

  async #inTurn(response: ServerResponse, bytes: number): Promise<void> {
    const { promise: turn, resolve, reject } = Promise.withResolvers<void>()
    const waiting = { response, bytes, begin: resolve }
    const leave = () => reject(new HttpProblem('overloaded', 'the answers to others take all the memory that they may'))
    const deadline = setTimeout(leave, WAIT_MS_MAX)
    response.once('close', leave)
    this.#waiting.add(waiting)
    this.#looking ??= setInterval(() => this.#cutOffThoseThatStandStill(), POLL_INTERVAL_MS)
    try {
      await turn
    } finally {
      clearTimeout(deadline)
      response.off('close', leave)
      this.#waiting.delete(waiting)
      // Behind one that was large and has left, smaller ones may fit.
      this.#beginWaiting()
    }
  }

  #beginWaiting(): void {
    for (const waiting of this.#waiting) {
      // Of many connections that are cut at once, each is told only after the one before: its answer would be made for nobody.
      if (hasLeft(waiting.response)) continue
      if (!this.#fits(waiting.bytes)) return
      this.#waiting.delete(waiting)
      this.#hold(waiting.response, waiting.bytes)
      waiting.begin()
    }
    if (this.#waiting.size > 0) return
    clearInterval(this.#looking)
    this.#looking = undefined
  }

  #cutOffThoseThatStandStill(): void {
    const now = performance.now()
    for (const [response, held] of this.#held) {
      const written = response.socket?.bytesWritten ?? 0
      if (written > held.written) Object.assign(held, { written, since: now })
      else if (response.headersSent && now - held.since > STILL_MS_MAX) response.destroy()
    }
  }

  #fits(bytes: number): boolean {
    return this.#bytes + bytes <= this.#bytesMax
  }

  #hold(response: ServerResponse, bytes: number): void {
    const held = { bytes, written: 0, since: performance.now() }
    this.#bytes += bytes
    this.#held.set(response, held)
    response.once('close', () => {
      this.#bytes -= held.bytes
      this.#held.delete(response)
      this.#beginWaiting()
    })
  }
}

function hasLeft({ closed, socket }: ServerResponse): boolean {
  return closed || socket?.destroyed === true
}

/** About: a string may be as many bytes or up to three times as many. */
function lengthOf(payload: unknown): number {
  if (typeof payload === 'string') return payload.length
  return payload instanceof Uint8Array ? payload.byteLength : 0
}
