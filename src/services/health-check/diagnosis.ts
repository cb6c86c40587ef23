import type { Config, ServiceName } from '../../config.ts'

/** What the health check knows of a service after asking it. */
export type Verdict =
  | { kind: 'healthy' }
  /** It answers, but says that it cannot work: `code` and `detail` of its problem. */
  | { kind: 'not_ready'; code: string; detail: string }
  | { kind: 'away'; why: string }

export type Verdicts = ReadonlyMap<ServiceName, Verdict>

/** One thing that is wrong, and the services that cannot work because of it. */
export type Cause = {
  /** `Kafka`, `MySQL` …, or the title of a service that is unavailable itself. */
  dependency: string
  detail: string
  services: ServiceName[]
}

export const TITLES: Record<ServiceName, string> = {
  receiver: 'Receiver',
  storage: 'Storage',
  processing: 'Processing',
  analyzer: 'Analyzer',
  'anomaly-detector': 'Anomaly detector',
  'health-check': 'Health check',
  dashboard: 'Dashboard',
}

/** What the services stand on here: the same code is another dependency elsewhere. */
export type Ground = {
  log: string
  store: string
  statistics: string
  anomalies: string
  processingReadsStorage: boolean
}

const EMBEDDED = 'the embedded'

export function groundOf({ log, store, storageUrl }: Pick<Config, 'log' | 'store' | 'storageUrl'>): Ground {
  const mysql = store.kind === 'mysql'
  return {
    log: log.kind === 'kafka' ? 'Kafka' : `${EMBEDDED} log`,
    store: mysql ? 'MySQL' : `${EMBEDDED} store`,
    statistics: mysql ? 'MySQL' : `${EMBEDDED} statistics`,
    anomalies: mysql ? 'MySQL' : `${EMBEDDED} anomalies`,
    processingReadsStorage: storageUrl !== undefined,
  }
}

/** What a service that is not ready says it lacks; undefined when its code names nothing outside of it. */
export function dependencyOf(service: ServiceName, code: string, ground: Ground): string | undefined {
  if (code === 'log_unavailable' || code === 'log_overloaded') return ground.log
  if (code === 'statistics_unavailable') return ground.statistics
  if (code === 'anomalies_unavailable') return ground.anomalies
  if (code !== 'store_unavailable') return undefined
  return service === 'processing' && ground.processingReadsStorage ? TITLES.storage : ground.store
}

/** One sentence on one service; undefined while it is healthy. */
export function describeFault(service: ServiceName, verdict: Verdict, ground: Ground): string | undefined {
  if (verdict.kind === 'healthy') return undefined
  if (verdict.kind === 'away') return `${TITLES[service]} does not answer: ${verdict.why}`
  const dependency = dependencyOf(service, verdict.code, ground)
  if (dependency === undefined) return `${TITLES[service]} is not ready: ${verdict.detail}`
  return `${TITLES[service]} cannot reach ${dependency}: ${verdict.detail}`
}

/**
 * What is at fault, the widest first. Services that name the same dependency have one cause; and one that waits for
 * another service, which itself lacks something, has that one's cause: with MySQL away, Processing is not the fault of
 * Storage.
 */
export function findCauses(verdicts: Verdicts, ground: Ground): Cause[] {
  const services = new Map<string, ServiceName[]>()
  for (const [service, verdict] of verdicts) {
    if (verdict.kind === 'healthy') continue
    const root = rootOf(service, verdicts, ground)
    services.set(root, [...(services.get(root) ?? []), service])
  }
  return [...services]
    .map(([dependency, named]) => ({
      dependency,
      detail: describeCause(dependency, named, verdicts, ground),
      services: named,
    }))
    .sort((a, b) => b.services.length - a.services.length)
}

/** Follows what a service lacks to what lacks nothing itself. There are no circles: Storage waits for no service. */
function rootOf(service: ServiceName, verdicts: Verdicts, ground: Ground): string {
  const verdict = verdicts.get(service)
  if (verdict?.kind !== 'not_ready') return TITLES[service]
  const dependency = dependencyOf(service, verdict.code, ground)
  if (dependency === undefined) return TITLES[service]
  if (dependency !== TITLES.storage) return dependency
  const storage = verdicts.get('storage')
  return storage === undefined || storage.kind === 'healthy' ? dependency : rootOf('storage', verdicts, ground)
}

function describeCause(dependency: string, services: ServiceName[], verdicts: Verdicts, ground: Ground): string {
  const own = services.find((service) => TITLES[service] === dependency)
  const others = services.filter((service) => service !== own)
  const waiting =
    others.length === 0 ? '' : `${listOf(others)} cannot reach ${dependency}${reasonOf(dependency, others, verdicts)}`
  if (own !== undefined) {
    const fault = describeFault(own, verdicts.get(own) as Verdict, ground) as string
    return waiting === '' ? fault : `${fault}; ${waiting}`
  }
  // Nothing lies between a service and a file beside it: whoever can only reads it, for instance on a full disk.
  if (dependency.startsWith(EMBEDDED)) return waiting
  const well = [...verdicts].filter(([service, { kind }]) => kind === 'healthy' && leansOn(service, dependency, ground))
  if (well.length === 0) return waiting
  const able = listOf(well.map(([service]) => service))
  return `${waiting}, though ${able} can: look at what lies between them`
}

/** What the services say of a file of their own: there is no server to look at instead. */
function reasonOf(dependency: string, services: readonly ServiceName[], verdicts: Verdicts): string {
  if (!dependency.startsWith(EMBEDDED)) return ''
  const details = services.flatMap((service) => {
    const verdict = verdicts.get(service)
    return verdict?.kind === 'not_ready' ? [verdict.detail] : []
  })
  return `: ${[...new Set(details)].join('; ')}`
}

/** Whether a service would not be healthy without it. */
function leansOn(service: ServiceName, dependency: string, ground: Ground): boolean {
  const needs: Partial<Record<ServiceName, string[]>> = {
    receiver: [ground.log],
    storage: [ground.store],
    processing: [ground.statistics, ground.processingReadsStorage ? TITLES.storage : ground.store],
    analyzer: [ground.log],
    'anomaly-detector': [ground.log, ground.anomalies],
  }
  return needs[service]?.includes(dependency) ?? false
}

function listOf(services: readonly ServiceName[]): string {
  const names = services.map((service) => TITLES[service])
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}
