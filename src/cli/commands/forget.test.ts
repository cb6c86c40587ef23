import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BEGIN, openFilledStorage, USERS } from '../../services/storage/testing/storage.fixture.ts'
import { runCli } from '../testing/run-cli.fixture.ts'

describe('runify forget', () => {
  test('erases a user, and says what was erased and what the log still holds', async () => {
    await using storage = await openFilledStorage()
    const user = USERS[0] as string
    const mine = (type: string) =>
      storage.events.filter((event) => event.type === type && event.fields.user_id === user)
    const [runs, plays] = [mine('running_stats').length, mine('music_info').length]
    const { code, stdout, stderr } = await runCli(['forget', '--user', user, '--storage', storage.address])
    assert.deepEqual([code, stderr], [0, ''])
    const [erased, ...inLog] = stdout.trimEnd().split('\n')
    assert.match(
      erased as string,
      new RegExp(`^erased {4}${runs} runs, ${plays} plays of songs, all that was received up to 2`),
    )
    const from = new Date(BEGIN).toISOString()
    assert.deepEqual(inLog.length, 2)
    const told = `in log    ${runs} in runify.running_stats:0, received ${from} to `
    assert.equal(inLog[0]?.slice(0, told.length), told)
    assert.match(inLog[1] as string, /, with no retention that would remove them$/)

    const again = await runCli(['forget', '--user', user.toUpperCase(), '--storage', storage.address, '--json'])
    assert.equal(again.code, 0)
    const { user_id, erased: none, in_log } = JSON.parse(again.stdout) as Record<string, unknown>
    assert.deepEqual(
      { user_id, none, in_log },
      { user_id: user, none: { num_running_stats: 0, num_music_info: 0 }, in_log: [] },
    )
  })

  test('says what is wrong', async () => {
    const wrong: [string[], RegExp][] = [
      [[], /say whom to forget: --user ID, see runify forget --help\n$/],
      [['--user', 'me'], /--user must be a UUID, not "me"/],
      [['--user', USERS[0] as string, '--storage', 'http://127.0.0.1:1'], /http:\/\/127\.0\.0\.1:1 does not answer/],
    ]
    for (const [args, expected] of wrong) {
      const { code, stdout, stderr } = await runCli(['forget', ...args])
      assert.deepEqual([code, stdout], [2, ''])
      assert.match(stderr, expected)
    }
  })
})
