import assert from 'node:assert/strict'
import { makeMany } from '../events.ts'
import { getJson, getList, type Json, post, settled, waitFor } from '../harness.ts'

export type Services = Record<string, string>

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
  await settled({ addresses: addresses as { processing: string } })
  await waitFor(async () => (await getJson(`${addresses['anomaly-detector']}/stats`)).behind === 0)
}

/** What users see of it: the same after an upgrade. */
export async function answersOf({
  storage,
  processing,
  analyzer,
  'anomaly-detector': detector,
}: Services): Promise<Json> {
  const { last_updated: _, as_of: __, behind: ___, ...statistics } = await getJson(`${processing}/stats`)
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
