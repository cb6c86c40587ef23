import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { getJson, type Json, settled, waitFor } from '../../test-support/harness.ts'
import { checkAllThere, SteadyLoad } from '../../test-support/steady-load.ts'
import { readExamples } from '../guides/guide.ts'
import { ComposeProject } from './compose-project.ts'

/** The lines of docs/compose.md about backups, word for word, on the system of compose.yaml, while events are being sent. */

const GUIDE = readFileSync(new URL('../../docs/compose.md', import.meta.url), 'utf8')
const RESTORES = Number(process.env.RUNIFY_TEST_RESTORES ?? 6)
const EVENTS = 1000
const SETTLED_MS_MAX = 90_000
const DETECTOR_TABLES = ['anomalies', 'anomaly_cursors', 'anomaly_counts', 'anomaly_users', 'anomaly_forgotten']

describe('The backup of compose.yaml', () => {
  const [backup, restore, ...others] = readExamples(GUIDE.split('## Backup')[1]?.split('\n## ')[0] ?? '')
  const acknowledged: Json[] = []
  let project: ComposeProject
  before(async () => {
    assert.ok(backup && restore && others.length === 0, 'two blocks: one takes a backup, one puts it back')
    project = await ComposeProject.copy('compose.yaml')
    await project.configure()
    await project.up()
  })
  after(() => project?.[Symbol.asyncDispose]())

  test('is taken under load', async () => {
    await underLoad(async (load) => {
      await waitFor(async () => load.acknowledged.length >= EVENTS)
      const { code, stderr } = await project.shell(backup?.script as string)
      assert.equal(code, 0, stderr)
    })
    await allRead()
    await checkAllThere(project.addresses, acknowledged)
  })

  test('is refused while a service with tables is running, which is named, and changes nothing', async () => {
    const expected = await anomalies()
    const [command] = (restore?.script ?? '').split('\n').filter((line) => line.includes(' restore '))
    await project.run('stop', 'storage', 'processing')
    const { code, stdout, stderr } = await project.shell(command as string)
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /runify restore: others use runify \(\d+ of runify from [^)]+\): stop every service/)
    await project.run('up', '-d', '--wait')
    await allRead()
    await checkAllThere(project.addresses, acknowledged)
    assert.deepEqual(await anomalies(), expected)
  })

  for (let n = 1; n <= RESTORES; n++) {
    test(`is put back exactly under load, for the ${n}. time`, async (t) => {
      await underLoad(async (load) => {
        const { code, stdout, stderr } = await project.shell(restore?.script as string)
        assert.equal(code, 0, `${stdout}\n${stderr}`)
        assert.match(stdout, /^restored {3}the backup of \S+\nbehind {5}[1-9]\d* records/m)
        assert.match(stdout, /^audited {4}\d+ accepted, [1-9]\d* stored, [1-9]\d* pending: nothing differs$/m)
        assert.ok(load.acknowledged.length > 0, 'the Receiver went on')
        t.diagnostic(`${load.acknowledged.length} events were acknowledged meanwhile`)
      })
      await allRead()
      await checkAllThere(project.addresses, acknowledged)
      assert.match(await project.run('run', '--rm', '-T', 'runify', 'audit'), /^nothing differs$/m)
    })
  }

  test('leaves the anomalies that the log has', async () => {
    const found = await anomalies()
    assert.ok(found.length > 10, `${found.length} anomalies`)
    await project.run('stop', 'anomaly-detector')
    const port = Number(project.ports.MYSQL_PORT)
    const root = await createConnection({
      host: '127.0.0.1',
      port,
      user: 'root',
      password: 'change-me',
      database: 'runify',
    })
    for (const table of DETECTOR_TABLES) await root.query(`DELETE FROM ${table}`)
    root.destroy()
    await project.run('up', '-d', '--wait')
    await allRead()
    assert.deepEqual(await anomalies(), found, 'what is found by judging everything anew')
  })

  async function underLoad(work: (load: SteadyLoad) => Promise<void>): Promise<void> {
    const load = new SteadyLoad(project.addresses.receiver)
    try {
      await work(load)
    } finally {
      await load.stop()
      acknowledged.push(...load.acknowledged)
    }
  }

  async function allRead(): Promise<void> {
    await settled(project, SETTLED_MS_MAX)
    const detector = project.addresses['anomaly-detector']
    await waitFor(async () => (await getJson(`${detector}/stats`)).behind === 0, SETTLED_MS_MAX)
  }

  /** Ids, types and values of all of them. */
  async function anomalies(): Promise<string[]> {
    const detector = project.addresses['anomaly-detector']
    const all: string[] = []
    for (let url: string | undefined = `${detector}/anomalies?limit=1000`; url !== undefined; ) {
      const response: Response = await fetch(url)
      const page = (await response.json()) as Json[]
      all.push(...page.map(({ anomaly_id, anomaly_type, value }) => `${anomaly_id} ${anomaly_type} ${value}`))
      const next = /^<(.*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
      url = next && `${detector}${next}`
    }
    return all.sort()
  }
})
