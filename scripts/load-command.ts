import { CommandError, UsageError, wholeNumber } from '../src/cli/command.ts'
import { SERVICES, type ServiceName } from '../src/config.ts'

/** What the commands share that put requests on a Runify which is running. */

export type Target = { host: string; ports: Record<ServiceName, number> }

export const TARGET_OPTIONS = {
  host: { type: 'string', default: '127.0.0.1' },
  'receiver-port': { type: 'string', default: '8080' },
  'storage-port': { type: 'string', default: '8090' },
  'processing-port': { type: 'string', default: '8100' },
  'analyzer-port': { type: 'string', default: '8110' },
  'anomaly-detector-port': { type: 'string', default: '8120' },
  'health-check-port': { type: 'string', default: '8130' },
  'dashboard-port': { type: 'string', default: '8000' },
} as const

export const TARGET_HELP = `  --host HOST          where Runify is (127.0.0.1)
  --receiver-port N, --storage-port N, --processing-port N, --analyzer-port N,
  --anomaly-detector-port N, --health-check-port N, --dashboard-port N
                       (8080, 8090, 8100, 8110, 8120, 8130, 8000)`

const READY_MS_MAX = 5000

export function readTarget(values: Record<keyof typeof TARGET_OPTIONS, string>): Target {
  if (!/^[A-Za-z0-9.:-]+$/.test(values.host)) throw new UsageError(`--host is not a host: ${values.host}`)
  const ports = SERVICES.map((service) => {
    const option = `${service}-port` as const
    return [service, wholeNumber(`--${option}`, values[option], { min: 1, max: 65_535 })]
  })
  return { host: values.host, ports: Object.fromEntries(ports) as Target['ports'] }
}

export function addressOf({ host, ports }: Target, service: ServiceName): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${ports[service]}`
}

/** Without it, a Runify that is not there would be many failed requests. Throws a `CommandError` that names the service. */
export async function checkReady(target: Target): Promise<void> {
  await Promise.all(SERVICES.map((service) => checkServiceReady(service, `${addressOf(target, service)}/health/ready`)))
}

/** Runs what was typed, and sets the exit code: 2 with one line that says why, when `main` cannot go on. */
export async function runCommand(name: string, main: (args: string[]) => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    const hint = error instanceof UsageError ? `, see npm run ${name} -- --help` : ''
    console.error(`${name}: ${error.message}${hint}`)
    process.exitCode = 2
  }
}

async function checkServiceReady(service: ServiceName, url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(READY_MS_MAX) }).catch((error: Error) => {
    const why = error.cause instanceof Error ? error.cause.message : error.message
    throw new CommandError(`${service} does not answer at ${url}: ${why}`, { cause: error })
  })
  if (response.status !== 200) throw new CommandError(`${service} is not ready: ${url} answered ${response.status}`)
}
