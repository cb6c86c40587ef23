import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { spawnRunify, temporaryFolder } from '../../test-support/harness.ts'
import { checkExactlyOnce, RetryingClient } from '../../test-support/retrying-client.ts'

/** The first invariant: what was acknowledged is never lost and never counted twice, through kill -9 at any moment. */

const EVENTS = 100_000
/** After about so many acknowledged events the process is killed; the rest of the digits is left to chance. */
const KILL_AFTER = [10_000, 40_000, 75_000]

test('kill -9 loses nothing that was acknowledged and doubles nothing that was sent again', async (t) => {
  await using folder = await temporaryFolder()
  const client = new RetryingClient({ events: EVENTS, users: 7 })
  for (const about of KILL_AFTER) {
    const at = about + randomInt(10_000)
    await using runify = await spawnRunify({ dir: folder.path, RUNIFY_LOG_LEVEL: 'info' })
    const stop = new AbortController()
    const sending = client.sendOnce(runify.addresses.receiver, stop.signal)
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
  await client.sendOnce(runify.addresses.receiver)
  await checkExactlyOnce(client, runify.addresses, 60_000)
})
