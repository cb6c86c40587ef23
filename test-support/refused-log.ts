import assert from 'node:assert/strict'
import { runCli } from '../src/cli/testing/run-cli.fixture.ts'
import { type Environment, getJson, type Json, type Runify, waitFor } from './harness.ts'

/** How those who follow the log are while it is none that they have read before, and the way out. */

const FOLLOWERS = ['storage', 'anomaly-detector'] as const
/** A consumer tries again every five seconds; a loaded machine takes longer. */
export const WAIT_MS_MAX = 120_000
const REBUILDS = ['store', 'anomalies'] as const

/** Why a service is not ready; nothing where it is. */
export async function reason(address: string): Promise<string> {
  const response = await fetch(`${address}/health/ready`)
  const { detail } = (await response.json()) as { detail?: string }
  return response.status === 503 ? (detail ?? '') : ''
}

export async function refused({ addresses }: Runify, pattern: RegExp): Promise<void> {
  for (const service of FOLLOWERS) {
    await waitFor(async () => pattern.test(await reason(addresses[service])), WAIT_MS_MAX).catch(async (cause) => {
      throw new Error(`${service}: ${(await reason(addresses[service])) || 'ready'}`, { cause })
    })
  }
}

/** Also after it has tried again. */
export async function stillRefused(runify: Runify, { stored }: { stored: number }): Promise<void> {
  const failures = async (address: string) => {
    const text = await (await fetch(`${address}/metrics`)).text()
    const lines = text.split('\n').filter((line) => /^runify_\w*fail\w*\{.*position_conflict/.test(line))
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }
  for (const service of FOLLOWERS) {
    const address = runify.addresses[service]
    const before = await failures(address)
    await waitFor(async () => (await failures(address)) > before + 1, WAIT_MS_MAX)
    assert.notEqual(await reason(address), '', `${service} is not ready`)
  }
  assert.equal((await getJson(`${runify.addresses.storage}/stats`)).num_running_stats, stored)
}

export async function ready({ addresses }: Runify): Promise<void> {
  for (const service of FOLLOWERS) await waitFor(async () => (await reason(addresses[service])) === '', WAIT_MS_MAX)
}

export async function rebuildAll(environment: Environment): Promise<void> {
  for (const what of REBUILDS) {
    const { code, stderr } = await runCli(['rebuild', what], '', environment)
    // What takes long tells how far it is.
    assert.deepEqual([code, stderr.replace(/^\d+ events .*\n/gm, '')], [0, ''])
  }
}

export async function idsOf({ addresses }: Runify): Promise<string[]> {
  const response = await fetch(`${addresses.storage}/stats/running?limit=1000`)
  return ((await response.json()) as Json[]).map(({ user_id, event_id }) => `${user_id} ${event_id}`).sort()
}

export async function audit({ addresses }: Runify) {
  const hour = 3_600_000
  const end = Math.floor(Date.now() / hour) * hour + hour
  const query = new URLSearchParams({
    from: new Date(end - 2 * hour).toISOString(),
    to: new Date(end).toISOString(),
  })
  const answer = await getJson(`${addresses.analyzer}/audit?${query}`)
  return answer as { equal: boolean; differences: Record<string, unknown[]> }
}
