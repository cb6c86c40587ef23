import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import { parse } from 'yaml'
import { readConfig, SERVICES, type ServiceName } from '../src/config.ts'
import { makeRun } from '../test-support/events.ts'
import { getJson, post, settled, startInProcess, waitFor } from '../test-support/harness.ts'
import { readPromql } from './monitoring/promql.ts'

/** What `monitoring/` names is there, as far as can be seen without Prometheus and Grafana themselves. */

type Rule = { alert: string; expr: string; labels: { severity: string }; annotations: Record<string, string> }
type Panel = { title: string; description?: string; targets: { expr: string; legendFormat: string }[] }
/** By metric, with the labels that its series have. */
type Metrics = Map<string, Set<string>>

/** Of Prometheus itself. */
const OWN_METRICS = ['up']
const OWN_LABELS = ['job', 'instance']
/** What all services tell. */
const COMMON = [
  'runify_http_request_seconds',
  'runify_connections_refused_total',
  'runify_failures_total',
  'runify_files_set_aside_total',
  'runify_file_damaged',
  'runify_file_checked_timestamp_seconds',
  'runify_data_free_bytes',
  'runify_data_size_bytes',
]

const folder = new URL('../monitoring/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8')
const rules = (parse(read('alerts.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules)
const dashboard = JSON.parse(read('grafana/dashboards/runify.json')) as { panels: Panel[] }
const expressions = [
  ...rules.map(({ alert, expr }) => ({ name: alert, expr })),
  ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ name: title, expr }))),
]

describe('The alerts and the dashboard', () => {
  let metrics: Metrics
  let texts: Record<ServiceName, string>
  before(async () => {
    texts = await provokeMetrics()
    metrics = new Map()
    for (const service of SERVICES) readMetrics(texts[service], metrics)
  })

  test('each service has the metrics that its README names, and those of all services', () => {
    for (const service of SERVICES) {
      const readme = readFileSync(new URL(`../src/services/${service}/README.md`, import.meta.url), 'utf8')
      const [row = ''] = /^\| metrics .*$/m.exec(readme) ?? []
      const told = [...texts[service].matchAll(/^# TYPE (runify_\w+) /gm)].map(([, name]) => name as string)
      const ownOf = (names: readonly string[]) => [...new Set(names)].filter((name) => !COMMON.includes(name)).sort()
      assert.deepEqual(ownOf(told), ownOf(row.match(/runify_\w+/g) ?? []), service)
    }
  })

  test('name only metrics and labels that the services have', () => {
    for (const { name, expr } of expressions) {
      const selections = readPromql(expr)
      assert.ok(selections.length > 0, name)
      for (const { metric, labels } of selections) {
        if (OWN_METRICS.includes(metric)) continue
        const known = metrics.get(metric)
        assert.ok(known, `${name}: no service has ${metric}`)
        // A metric without a series yet does not tell its labels.
        if (known.size === 0) continue
        for (const label of labels)
          assert.ok(known.has(label) || OWN_LABELS.includes(label), `${name}: ${metric}{${label}}`)
      }
    }
  })

  test('watch lag, 5xx, dead letters and freshness', () => {
    const watched = rules.flatMap(({ expr }) => readPromql(expr).map(({ metric }) => metric))
    for (const metric of [
      'runify_group_lag_seconds',
      'runify_http_request_seconds_count',
      'runify_dead_letters_total',
      'runify_canary_arrival_timestamp_seconds',
    ]) {
      assert.ok(watched.includes(metric), metric)
    }
  })

  test('tell a person what it is and where to look', () => {
    for (const { alert, labels, annotations } of rules) {
      assert.match(labels.severity, /^(warning|critical)$/, alert)
      for (const text of [annotations.summary, annotations.description]) assert.match(text ?? '', /\w{3}/, alert)
    }
    for (const { title, targets } of dashboard.panels) {
      for (const { legendFormat } of targets) assert.match(legendFormat, /\w/, title)
    }
  })

  test('count from 0 what an alert waits for', () => {
    for (const metric of ['runify_dead_letters_total', 'runify_failures_total', 'runify_canaries_lost_total']) {
      assert.ok((metrics.get(metric)?.size ?? 0) > 0, metric)
    }
  })
})

test('Prometheus asks every service at its port', () => {
  type Jobs = { scrape_configs: { dns_sd_configs: { names: string[]; port: number }[] }[] }
  const [job] = (parse(read('prometheus.yml')) as Jobs).scrape_configs
  const asked = job?.dns_sd_configs.map(({ names, port }) => [names[0], port])
  assert.deepEqual(Object.fromEntries(asked ?? []), readConfig({}).ports)
})

test('The services of the profile get the files that are there', () => {
  const { services } = parse(readFileSync(new URL('../compose.yaml', import.meta.url), 'utf8'), { merge: true }) as {
    services: Record<string, { profiles?: string[]; volumes: string[] }>
  }
  for (const name of ['prometheus', 'grafana']) {
    assert.deepEqual(services[name]?.profiles, ['monitoring'])
    for (const volume of services[name]?.volumes ?? []) {
      const [from] = volume.split(':')
      if (from?.startsWith('./monitoring/')) assert.ok(exists(from), volume)
    }
  }
  for (const file of ['datasources/prometheus.yml', 'dashboards/runify.yml']) {
    assert.equal((parse(read(`grafana/provisioning/${file}`)) as { apiVersion: number }).apiVersion, 1)
  }
})

describe('The reading of PromQL', () => {
  test('finds metrics with their labels', () => {
    assert.deepEqual(readPromql('sum by (le, a) (rate(x_bucket{b="(c)",d=~"5.."}[5m])) / y > 0.5'), [
      { metric: 'x_bucket', labels: ['b', 'd', 'le', 'a'] },
      { metric: 'y', labels: ['le', 'a'] },
    ])
  })

  test('refuses what is none', () => {
    for (const wrong of ['sum(x', 'x)', 'rat(x[5m])', 'x{a="b"', 'x ; y', 'sum(x]']) {
      assert.throws(() => readPromql(wrong), wrong)
    }
  })
})

/** What each service tells after some use. */
async function provokeMetrics(): Promise<Record<ServiceName, string>> {
  await using runify = await startInProcess({ RUNIFY_HEALTH_PERIOD_MS: '100', RUNIFY_CANARY_PERIOD_MS: '100' })
  const { receiver, analyzer, 'health-check': health } = runify.addresses
  await post(`${receiver}/stats/running`, makeRun(1))
  await post(`${receiver}/stats/running`, {})
  await settled(runify)
  await getJson(`${analyzer}/stats`)
  await waitFor(async () => {
    const { canary } = (await getJson(`${health}/status`)) as { canary: { state: string } }
    return canary.state === 'arrived'
  })
  const texts: Partial<Record<ServiceName, string>> = {}
  for (const service of SERVICES) texts[service] = await askMetrics(runify.addresses[service], service)
  return texts as Record<ServiceName, string>
}

async function askMetrics(address: string, service: ServiceName): Promise<string> {
  const response = await fetch(`${address}/metrics`)
  assert.equal(response.status, 200, service)
  return response.text()
}

/** The text format of Prometheus. A histogram has three names. */
function readMetrics(text: string, metrics: Metrics): void {
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm) as Iterable<[string, string, string]>) {
    const names = type === 'histogram' ? ['_bucket', '_count', '_sum'].map((end) => name + end) : [name]
    for (const one of names) if (!metrics.has(one)) metrics.set(one, new Set())
  }
  for (const [, name, labels] of text.matchAll(/^([a-zA-Z_:]\w*)\{(.*)\} \S+$/gm) as Iterable<
    [string, string, string]
  >) {
    for (const [, label] of labels.matchAll(/(\w+)="/g)) metrics.get(name)?.add(label as string)
  }
}

function exists(path: string): boolean {
  try {
    readFileSync(new URL(`../${path}`, import.meta.url))
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EISDIR'
  }
}
