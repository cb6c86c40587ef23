import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { AnswerBudget } from './answer-budget.ts'
import { HttpProblem } from './problem.ts'

const MIB = 1024 * 1024

/** As far as the budget knows a response; `cut` is what the end of the connection does at once, `close` what comes later. */
class Response extends EventEmitter {
  closed = false
  readonly socket = { destroyed: false, bytesWritten: 0 }

  cut(): void {
    this.socket.destroyed = true
  }

  close(): void {
    this.cut()
    this.closed = true
    this.emit('close')
  }

  get asResponse(): ServerResponse {
    return this as unknown as ServerResponse
  }
}

describe('The budget of answers', () => {
  test('has what is over it wait for its turn', async () => {
    const budget = new AnswerBudget(MIB)
    const [first, second] = [new Response(), new Response()]
    await budget.take(first.asResponse, MIB)
    let begun = false
    const waiting = budget.take(second.asResponse, MIB).then(() => (begun = true))
    await turn()
    assert.equal(begun, false)
    first.close()
    await waiting
    second.close()
  })

  test('begins no answer for a client that has gone', async () => {
    const budget = new AnswerBudget(MIB)
    const [first, second, third] = [new Response(), new Response(), new Response()]
    await budget.take(first.asResponse, MIB)
    const begun: string[] = []
    const gone = (error: unknown) => assert.ok(error instanceof HttpProblem)
    const waiting = [
      budget.take(second.asResponse, MIB).then(() => begun.push('second'), gone),
      budget.take(third.asResponse, MIB).then(() => begun.push('third'), gone),
    ]
    second.cut()
    first.close()
    await turn()
    assert.deepEqual(begun, ['third'])
    for (const response of [second, third]) response.close()
    await Promise.all(waiting)
    await assert.rejects(budget.take(second.asResponse, MIB), HttpProblem)
  })
})
