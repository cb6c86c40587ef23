import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Config, SERVICES, type ServiceName } from '../../config.ts'
import { HttpProblem } from '../../http/problem.ts'
import { HttpServer } from '../../http/server.ts'
import type { Telemetry } from '../../telemetry.ts'
import { checkPath, pathBehindPrefix } from './forwarded.ts'
import { addPageFiles, PAGE_FOLDER } from './page-files.ts'
import { type Deadlines, ServiceProxy } from './service-proxy.ts'

export type DashboardDeps = {
  /** Where a service is; it may be known only after this one has started. */
  addressOf: (service: ServiceName) => string | undefined
  config: Config
  telemetry: Telemetry
  /** Where the built page is. */
  pageFolder?: string
  deadlines?: Deadlines
}

/** What stands before a service's own paths. A service that is not part of Runify (yet) is just away. */
const SERVICE_OF_PREFIX = {
  receiver: { service: 'receiver', title: 'Receiver' },
  storage: { service: 'storage', title: 'Storage' },
  processing: { service: 'processing', title: 'Processing' },
  analyzer: { service: 'analyzer', title: 'Analyzer' },
  anomaly: { service: 'anomaly-detector', title: 'Anomaly detector' },
  check: { service: 'health-check', title: 'Health check' },
} as const

/** The views of the page: each has an address of its own, which shows it also when it is typed or reloaded. */
const VIEWS = ['/', '/runner', '/runner/:user_id', '/queue', '/send', '/event/:trace_id']
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
/** The page asks for a key itself, and what is passed on is checked where it goes; only the metrics are kept here. */
const OPEN = /^(?!\/metrics$)/

/** Serves the page, and passes on what it asks of the services, so that one address is enough. */
export async function createDashboard(deps: DashboardDeps): Promise<HttpServer> {
  const { addressOf, config, telemetry, pageFolder = PAGE_FOLDER, deadlines } = deps
  const server = await HttpServer.create({
    service: 'dashboard',
    description:
      'The page, at `/`. Besides, `/receiver/…`, `/storage/…`, `/processing/…`, `/analyzer/…`, `/anomaly/…` and `/check/…` ' +
      'are passed on to the services, with bodies and answers as they come.',
    config,
    telemetry,
    openRoutes: OPEN,
    // The page says what is wrong with it.
    answerBadPath: ({ url, headers }, reply) =>
      headers.accept?.includes('text/html') ? reply.redirect(withoutEncoding(url), 308) : undefined,
    checkReady: async () => {},
  })
  const { app } = server
  const sendPage = await addPageFiles(app, pageFolder)
  const schema = { hide: true } as const
  for (const view of VIEWS) {
    app.get(view, { schema }, (_, reply) => sendPage(reply))
    if (view !== '/')
      app.get(`${view}/`, { schema }, (request, reply) => reply.redirect(withoutSlash(request.url), 308))
  }
  // A person who mistypes an address sees the page, which says so; a program is told as everywhere.
  app.get('/*', { schema }, (request, reply) => {
    if (!wantsPage(request)) throw new HttpProblem('unknown_path', 'see /docs for the paths of this service')
    return sendPage(reply.code(404))
  })

  const proxy = new ServiceProxy(deadlines)
  for (const [prefix, { service, title }] of Object.entries(SERVICE_OF_PREFIX)) {
    const pass = (path: string, reply: FastifyReply) =>
      proxy.pass(path, { prefix: `/${prefix}`, title, address: findAddress(service) }, reply)
    app.route({
      method: METHODS,
      url: `/${prefix}/*`,
      schema,
      handler: (request, reply) => pass(pathBehindPrefix(request.url), reply),
    })
    // The health check's own first path is called as its prefix is.
    if (prefix === 'check') app.get('/check', { schema }, (request, reply) => pass(checkPath(request.url), reply))
  }
  const findAddress = (name: string) => {
    const service = SERVICES.find((one) => one === name)
    return service === undefined ? undefined : addressOf(service)
  }
  app.addHook('preClose', async () => proxy.endStreams())
  server.onDispose(() => proxy.close())
  return server
}

/** `/queue/?index=1` → `/queue?index=1`. */
function withoutSlash(url: string): string {
  return url.replace(/\/(?=$|\?)/, '')
}

/**
 * `/runner/%E0%A4?year=1` → `/runner/%25E0%25A4?year=1`: what is no encoding is text. It leads to no other host, which two
 * slashes would name.
 */
function withoutEncoding(url: string): string {
  const [path] = url.split('?', 1) as [string]
  const text = path.replace(/^\/+/, '/').replaceAll('%', '%25').replaceAll('\\', '%5C')
  return `${text}${url.slice(path.length)}`
}

/** Browsers name HTML before anything else; whoever names nothing is a program. */
function wantsPage(request: FastifyRequest): boolean {
  return request.accepts().type(['application/problem+json', 'text/html']) === 'text/html'
}
