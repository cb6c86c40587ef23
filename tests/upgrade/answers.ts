import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { makeMany } from '../../test-support/events.ts'
import {
  type Environment,
  getJson,
  getList,
  type Json,
  post,
  type Runify,
  settled,
  spawnRunify,
  waitFor,
} from '../../test-support/harness.ts'

export type Services = Record<string, string>

/** A loaded machine takes long. */
const SETTLED_MS_MAX = 120_000

/** Runs and songs of two users who stay, and of one who is forgotten. */
export async function sendSome(addresses: Services): Promise<void> {
  const { receiver, storage } = addresses
  const gone = makeMany('running', 10)
  for (const [kind, { events }] of [
    ['running', makeMany('running', 30)],
    ['music', makeMany('music', 20)],
    ['running', gone],
  ] as const) {
    assert.equal((await post(`${receiver}/stats/${kind}`, events)).status, 201)
  }
  await allHandled(addresses)
  assert.equal((await fetch(`${storage}/users/${gone.user_id}`, { method: 'DELETE' })).status, 200)
  await allHandled(addresses)
}

export async function allHandled(addresses: Services): Promise<void> {
  await settled({ addresses: addresses as { processing: string } }, SETTLED_MS_MAX)
  await waitFor(async () => (await getJson(`${addresses['anomaly-detector']}/stats`)).behind === 0, SETTLED_MS_MAX)
}

/** What users see of it: the same after an upgrade. */
export async function answersOf({
  storage,
  processing,
  analyzer,
  'anomaly-detector': detector,
}: Services): Promise<Json> {
  // `uncounted` is newer than the versions whose answers are kept; `takesOver` looks at it.
  const {
    last_updated: _,
    as_of: __,
    behind: ___,
    uncounted: ____,
    ...statistics
  } = await getJson(`${processing}/stats`)
  return {
    stored: await getJson(`${storage}/stats`),
    runs: await getList(`${storage}/stats/running?limit=1000`),
    songs: await getList(`${storage}/stats/music?limit=1000`),
    erasures: (await getJson(`${storage}/changes?limit=1000`)).erasures as Json[],
    statistics,
    daily: await getList(`${processing}/stats/daily?from=2000-01-01&to=2030-01-01`),
    played: await getList(`${processing}/stats/songs`),
    anomalies: await getList(`${detector}/anomalies?limit=1000`),
    first: await getJson(`${analyzer}/running?index=0`),
  }
}

/** A file that `make-folder.ts` has made with the code of a version. */
export function madeBy(version: string, name: string): string {
  return new URL(`./${version}-${name}`, import.meta.url).pathname
}

export async function unpack(archive: string, dir: string): Promise<void> {
  await promisify(execFile)('tar', ['-xzf', archive, '-C', dir])
}

/** Today's code on what `sendSome` has left: it answers as is said in the file `answers`, and takes more. */
export async function takesOver(environment: { dir: string } & Environment, answers: string): Promise<void> {
  const before = JSON.parse(await readFile(answers, 'utf8')) as Json
  await using runify = await spawnRunify(environment)
  const { addresses } = runify
  await allHandled(addresses)
  assert.deepEqual(await answersOf(addresses), before)
  assert.equal((await getJson(`${addresses.processing}/stats`)).uncounted, 0)
  for (const service of ['storage', 'processing', 'anomaly-detector'] as const) {
    assert.equal((await fetch(`${addresses[service]}/health/ready`)).status, 200, service)
  }
  await takesMore(runify)
  await runify.kill('SIGTERM')
}

async function takesMore({ addresses }: Runify): Promise<void> {
  const found = async () => Number((await getJson(`${addresses['anomaly-detector']}/stats`)).num_anomalies)
  const before = await found()
  const { events } = makeMany('running', 15)
  assert.equal((await post(`${addresses.receiver}/stats/running`, events)).status, 201)
  await allHandled(addresses)
  const stored = await getJson(`${addresses.storage}/stats`)
  assert.deepEqual(stored, { num_running_stats: 45, num_music_info: 20 })
  assert.equal((await getJson(`${addresses.processing}/stats`)).num_running_stats, 45)
  assert.ok((await found()) > before, 'they are judged: among them are runs that came years late')
}
