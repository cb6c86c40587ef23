import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startKafka } from '../../test-support/containers.ts'
import { makeMany, makeRun } from '../../test-support/events.ts'
import {
  type Environment,
  getJson,
  type Json,
  post,
  type Runify,
  settled,
  spawnRunify,
  temporaryFolder,
  waitFor,
} from '../../test-support/harness.ts'
import { audit, idsOf, ready, rebuildAll, refused, stillRefused, WAIT_MS_MAX } from '../../test-support/refused-log.ts'

const TOPIC = 'runify.running_stats'
const REFUSAL =
  /runify\.running_stats:\d+ up to 6 of the log [\w:-]{20,}, but this is another log, [\w:-]{20,}: .*npx runify rebuild/

test('A topic that was deleted and made anew in Kafka is refused however far it grows, and a rebuild goes on with it', async () => {
  await using kafka = await startKafka()
  await using folder = await temporaryFolder()
  const environment: Environment & { dir: string } = { dir: folder.path, RUNIFY_LOG: kafka.address }
  const before = makeMany('running', 6)
  const after = [
    // Far beyond the cursor in its partition.
    ...Array.from({ length: 100 }, (_, n) => makeRun(n, { user_id: before.user_id, event_id: `anew-${n}` })),
    ...Array.from({ length: 20 }, () => makeMany('running', 10).events).flat(),
  ]
  {
    await using runify = await spawnRunify(environment)
    await send(runify, before.events)
    await settled(runify, WAIT_MS_MAX)
    const detector = runify.addresses['anomaly-detector']
    await waitFor(async () => (await getJson(`${detector}/stats`)).behind === 0, WAIT_MS_MAX)
    assert.deepEqual(await eventsByIndex(runify, 6), idsIn(before.events))

    await kafka.script('kafka-topics.sh', '--delete', '--topic', TOPIC)
    await send(runify, after)
    await refused(runify, REFUSAL)
    await stillRefused(runify, { stored: 6 })
    assert.deepEqual(await idsOf(runify), idsIn(before.events))
    assert.equal((await audit(runify)).equal, false)

    assert.deepEqual(await eventsByIndex(runify, after.length), idsIn(after))
    assert.deepEqual(await tailed(runify), idsIn(after))
    await runify.kill('SIGTERM')
  }
  await rebuildAll({ RUNIFY_DATA_DIR: folder.path, RUNIFY_LOG: kafka.address })
  await using runify = await spawnRunify(environment)
  await ready(runify)
  await settled(runify, WAIT_MS_MAX)
  assert.deepEqual(await idsOf(runify), idsIn(after))
  assert.equal((await getJson(`${runify.addresses.processing}/stats`)).num_running_stats, after.length)
  assert.equal((await audit(runify)).equal, true)
})

/** Until the log takes them: a topic that was just deleted has to be made anew first. */
async function send({ addresses }: Runify, events: readonly Json[]): Promise<void> {
  const isTaken = async () => (await post(`${addresses.receiver}/stats/running`, events)).status === 201
  await waitFor(isTaken, WAIT_MS_MAX)
}

/** All events of the log, each asked for by its index; each once. Repeats are events of the log too. */
async function eventsByIndex({ addresses }: Runify, count: number): Promise<string[]> {
  const at = (n: number) => getJson(`${addresses.analyzer}/running?index=${n}`)
  // Its ends are taken for what they were a moment ago.
  await waitFor(() => at(count - 1), WAIT_MS_MAX)
  const found = new Set<string>()
  for (let n = 0; found.size < count; n++) found.add(idOf(await at(n)))
  return [...found].sort()
}

/** The same from the log's beginning on, as a stream. */
async function tailed({ addresses }: Runify): Promise<string[]> {
  const { num_running_stats } = await getJson(`${addresses.analyzer}/stats`)
  const query = `after=running_stats:0&type=running_stats&limit=${num_running_stats}`
  const text = await (await fetch(`${addresses.analyzer}/tail?${query}`)).text()
  const found = [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => idOf(JSON.parse(data) as Json))
  return [...new Set(found)].sort()
}

function idsIn(events: readonly Json[]): string[] {
  return events.map(idOf).sort()
}

function idOf({ user_id, event_id }: Json): string {
  return `${user_id} ${event_id}`
}
