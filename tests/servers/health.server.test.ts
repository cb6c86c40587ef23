import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openMysqlPlace, SKIP_WITHOUT_MYSQL } from '../../src/store/testing/mysql.fixture.ts'
import { openProxy } from '../../src/store/testing/mysql-proxy.fixture.ts'
import { getJson, type Json, startInProcess, waitFor } from '../../test-support/harness.ts'

test('The health check names MySQL while it is unavailable, and canaries come through before and after', {
  skip: SKIP_WITHOUT_MYSQL,
}, async () => {
  await using place = await openMysqlPlace()
  await using proxy = await openProxy(place.options)
  const { user, password, database, port } = proxy.options
  await using runify = await startInProcess({
    RUNIFY_STORE: `mysql://${user}:${password}@127.0.0.1:${port}/${database}`,
    RUNIFY_HEALTH_PERIOD_MS: '200',
    RUNIFY_HEALTH_TIMEOUT_MS: '10000',
    RUNIFY_CANARY_PERIOD_MS: '200',
    RUNIFY_CANARY_TIMEOUT_MS: '3000',
  })
  const status = () => getJson(`${runify.addresses['health-check']}/status`)
  const arrived = async (before?: unknown) => {
    const { state, trace_id } = (await status()).canary as Json
    return state === 'arrived' && trace_id !== before && trace_id
  }
  const first = await waitFor(() => arrived())
  await proxy.cut()
  const cause = await waitFor(async () => {
    const causes = (await status()).causes as { dependency: string; detail: string; services: string[] }[]
    const found = causes.find(({ dependency }) => dependency === 'MySQL')
    return found?.services.includes('storage') && found.services.includes('processing') && found
  }, 60_000)
  assert.match(cause.detail, /^Storage(, | and )Processing.* cannot reach MySQL$/)
  assert.equal((await getJson(`${runify.addresses['health-check']}/check`)).storage, 'Unavailable')
  await proxy.giveBack()
  await waitFor(async () => (await status()).status === 'healthy' && arrived(first), 60_000)
})
