import cluster from 'node:cluster'
import { Readable } from 'node:stream'
import accepts from '@fastify/accepts'
import {
  type FastifyInstance,
  type FastifyListenOptions,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify'
import type { Config, KeyScope } from '../config.ts'
import type { Telemetry } from '../telemetry.ts'
import { ANSWER_BYTES, AnswerBudget } from './answer-budget.ts'
import { checkKey } from './api-keys.ts'
import { Acceptors, findPort, listenError, SHARED } from './connections/acceptors.ts'
import { Admission } from './connections/admission.ts'
import { connectionBounds } from './connections/connection-bounds.ts'
import { answerBrokenRequest } from './connections/raw-answers.ts'
import { checkHead } from './connections/request-head.ts'
import { FastPath, type PostRoute } from './fast-path.ts'
import { type CommandRoute, readCommand } from './json-body.ts'
import { PAGE_BYTES_MAX } from './next-page.ts'
import { addDocument, commandSchema, metricsSchema, postSchema, routeSchema, withScope } from './openapi.ts'
import { type Parameters, readParameters } from './parameter.ts'
import { HttpProblem, NO_SNIFFING } from './problem.ts'
import { BAD_PATH, ProblemAnswers } from './problem-answers.ts'
import { chooseType, JSON_TYPE, type Route, sentParameters } from './route.ts'

export type ServerOptions = {
  /** As in the configuration, like `receiver`. */
  service: string
  description: string
  config: Pick<Config, 'host' | 'apiKeys' | 'requestsMax' | 'connectionsMax' | 'answerBytesMax'>
  telemetry: Telemetry
  /** Whether many may connect at once (`Acceptors`). */
  manyClients?: boolean
  /** Routes that need no key beside those that never do: a page has to be there before anybody can type one. '' is none. */
  openRoutes?: RegExp
  /**
   * Answers a path that is no valid percent-encoding, in place of a problem; undefined where a problem is right. No plug-in
   * has seen the request: it has its headers and nothing else.
   */
  answerBadPath?: (request: FastifyRequest, reply: FastifyReply) => FastifyReply | undefined
  /** Throws while something that the service cannot do without is unavailable. */
  checkReady: () => Promise<void>
}

/** SIGTERM must end within 10 s, the closing of log and store included: what is still being answered after this is cut off. */
const CLOSE_DEADLINE_MS = 5000
const ROW_BYTES = 1024
/**
 * Connections that the kernel has made and nobody has accepted yet; it lowers this to its own limit. With Node's 511,
 * many that come at once lose their handshake, and some wait for half a minute without an answer.
 */
const BACKLOG = 8192
/** Routes that are open to everybody, as probes and browsers have no keys. */
const OPEN_ROUTES = /^\/(health\/|docs(\/|$)|openapi\.json$)/

/**
 * The set-up that all services share: checks, keys, problem+json, health, metrics and API page. Nothing a client sends
 * is coerced, and Fastify's own body parsing and serialising are off, because they coerce and drop.
 */
export class HttpServer implements AsyncDisposable {
  readonly app: FastifyInstance
  readonly #options: ServerOptions
  /** Path pattern → its methods, to tell a wrong method from a wrong path. */
  readonly #methods = new Map<string, { matches: RegExp; methods: Set<string> }>()
  /** Path pattern → the rows that it answers with. */
  readonly #rows = new Map<string, { default: number; max: number; bytesMax: number }>()
  readonly #answers: AnswerBudget
  readonly #admission: Admission
  readonly #problems: ProblemAnswers
  readonly #fastPath: FastPath
  /** What operates, as `DELETE /users/:user_id`: it needs a key of scope `operate`. */
  readonly #operating = new Set<string>()
  readonly #acceptors = new Acceptors((socket) => this.app.server.emit('connection', socket))
  #stopped: Promise<void> | undefined
  readonly #stopWork: (() => Promise<void>)[] = []

  private constructor(options: ServerOptions) {
    this.#options = options
    const { service, config, telemetry } = options
    this.#answers = AnswerBudget.ofThread(config.answerBytesMax)
    const admission = new Admission(config.requestsMax)
    const problems = new ProblemAnswers({ admission, telemetry })
    this.#admission = admission
    this.#problems = problems
    this.#fastPath = new FastPath({ apiKeys: config.apiKeys, admission, problems, telemetry })
    this.app = fastify({
      logger: false,
      forceCloseConnections: 'idle',
      return503OnClosing: false,
      // A stream of events may last as long as it likes, but not stand still.
      connectionTimeout: 60_000,
      requestTimeout: 0,
      routerOptions: { maxParamLength: 256 },
      // Node would answer these without a body; `checkHead` and the routes answer them like everything else.
      http: { requireHostHeader: false },
      frameworkErrors: (error, request, reply) => void this.#answerUnrouted(error, request, reply),
      clientErrorHandler: answerBrokenRequest,
    })
    this.#fastPath.install(this.app.server)
    const bounds = connectionBounds(service, config.connectionsMax)
    admission.limitConnections(this.app.server, bounds, telemetry.connectionRefused)
    this.app.server.on('checkExpectation', (request, response) => this.app.server.emit('request', request, response))
  }

  static async create(options: ServerOptions): Promise<HttpServer> {
    const server = new HttpServer(options)
    await server.#setUp()
    return server
  }

  /** Adds a path that reads. */
  get<P extends Parameters>(path: string, route: Route<P>): void {
    this.#add('get', path, route)
  }

  /** Adds a path that removes what it names; it reads no body. Needs a key of scope `operate` where there are keys. */
  delete<P extends Parameters>(path: string, route: Route<P>): void {
    this.#operating.add(`DELETE ${path}`)
    this.#add('delete', path, { ...route, description: withScope(route.description) })
  }

  #add<P extends Parameters>(method: 'get' | 'delete', path: string, route: Route<P>): void {
    const { parameters = {} as P, produces = [JSON_TYPE], rowBytesMax: bytesMax = ROW_BYTES, handler } = route
    const { limit } = parameters as Parameters
    if (limit?.kind === 'integer' && limit.default !== undefined) {
      this.#rows.set(path, { default: limit.default, max: limit.max, bytesMax })
    }
    this.app[method](path, { schema: routeSchema(this.#options.service, path, route) }, (request, reply) => {
      const mediaType = chooseType(request, produces)
      return handler({ values: readParameters(parameters, sentParameters(request)), request, reply, mediaType })
    })
  }

  /**
   * Adds a path that takes a body; the handler reads it. Such requests go round Fastify (`FastPath`); Fastify knows the
   * path for the API page, and brings what comes by another spelling of it.
   */
  post(path: string, route: PostRoute): void {
    this.#fastPath.add(path, route)
    this.app.post(path, { schema: postSchema(this.#options.service, route) }, (request, reply) => {
      readParameters({}, request.query as Record<string, unknown>)
      reply.hijack()
      void this.#fastPath.serve(path, route, request.raw, reply.raw)
    })
  }

  /** Adds a path that takes a small JSON body and acts on it. Needs a key of scope `operate` where there are keys. */
  command<T>(path: string, route: CommandRoute<T>): void {
    const { check, handler } = route
    this.#operating.add(`POST ${path}`)
    const schema = commandSchema(this.#options.service, route)
    this.app.post(path, { schema }, async (request, reply) => {
      readParameters({}, request.query as Record<string, unknown>)
      return handler({ order: await readCommand(request.raw, check), request, reply })
    })
  }

  /** Resolves to the address, like `http://127.0.0.1:8080`. */
  async listen(port: number, variable: string): Promise<string> {
    const { host } = this.#options.config
    try {
      await this.#listen({ host, port, backlog: BACKLOG })
    } catch (cause) {
      throw listenError(cause, { host, port }, variable)
    }
    const address = this.app.server.address()
    const bound = typeof address === 'object' && address !== null ? address.port : port
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${bound}`
    this.#options.telemetry.listening(url)
    return url
  }

  /** Has background work of the service end with the server, after its last answer. */
  onDispose(stop: () => Promise<void>): void {
    this.#stopWork.push(stop)
  }

  /** Has answers that would never end by themselves end when the server stops accepting. */
  onStop(end: () => void): void {
    this.app.addHook('preClose', async () => end())
  }

  /**
   * Stops accepting and finishes what is being answered, at most for `CLOSE_DEADLINE_MS`. Where several servers stop,
   * this comes first for all of them, because their deadlines would add up.
   */
  stopAccepting(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  /** Stops accepting, then ends the background work. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAccepting()
    for (const stop of this.#stopWork) await stop()
    this.#options.telemetry.stopped()
  }

  openapi(): Record<string, unknown> {
    return this.app.swagger() as unknown as Record<string, unknown>
  }

  async #listen(at: { host: string; port: number; backlog: number }): Promise<void> {
    if (this.#options.manyClients !== true || !Acceptors.possible) {
      await this.app.listen(at)
      return
    }
    // Of workers, the process that started them has looked whether the port is free.
    const port = cluster.isWorker ? at.port : await findPort(at)
    // Fastify hands all of it to node:net, and its types lack this one.
    await this.app.listen({ ...at, port, ...SHARED } as FastifyListenOptions)
    await this.#acceptors.listen({ ...at, port })
  }

  async #stop(): Promise<void> {
    this.#admission.closing = true
    const deadline = setTimeout(() => this.app.server.closeAllConnections(), CLOSE_DEADLINE_MS)
    await Promise.all([this.#acceptors[Symbol.asyncDispose](), this.app.close()])
    clearTimeout(deadline)
  }

  async #setUp(): Promise<void> {
    const { app } = this
    const { service, description, telemetry } = this.#options
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined))
    app.setValidatorCompiler(() => () => true)
    app.setSerializerCompiler(() => (data) => JSON.stringify(data))
    app.setErrorHandler((error, request, reply) => this.#problems.send(error, request, reply))
    app.setNotFoundHandler((request) => this.#answerNotFound(request))
    app.addHook('onRoute', ({ url, method }) => this.#rememberRoute(url, [method].flat()))
    app.addHook('onRequest', async (request, reply) => {
      checkHead(request.raw)
      this.#checkKey(request)
      if (request.is404) this.#answerNotFound(request)
      // Probes are answered whatever others do.
      if (!request.routeOptions.url?.startsWith('/health/')) {
        await this.#answers.take(reply.raw, this.#answerBytes(request))
      }
    })
    app.addHook('onSend', async (request, reply, text) => {
      reply.headers(NO_SNIFFING)
      const payload = typeof text === 'string' && text.length > ANSWER_BYTES ? Buffer.from(text) : text
      this.#answers.settle(reply.raw, payload)
      if (request.method !== 'HEAD' || !(payload instanceof Readable)) return payload
      // Fastify would read the stream to its end, only to throw it away.
      payload.destroy()
      return Readable.from([])
    })
    app.addHook('onResponse', async (request, reply) => {
      const route = request.routeOptions.url ?? 'none'
      telemetry.requestDone({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000)
    })
    await app.register(accepts)
    await addDocument(app, { service, description })
    this.#addOperations()
  }

  /** What Fastify cannot route, and so runs no hook for. */
  async #answerUnrouted(error: { code: string }, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const answered = error.code === BAD_PATH ? this.#options.answerBadPath?.(request, reply) : undefined
    return answered ?? (await this.#problems.send(error, request, reply))
  }

  /** What an answer may take until its size is known. */
  #answerBytes({ query, routeOptions }: FastifyRequest): number {
    const rows = this.#rows.get(routeOptions.url ?? '')
    if (rows === undefined) return ANSWER_BYTES
    const { limit = rows.default } = query as { limit?: unknown }
    // One that is no number will be refused.
    const asked = Math.min(Number(limit) || 0, rows.max)
    return Math.max(ANSWER_BYTES, Math.min(asked * rows.bytesMax, PAGE_BYTES_MAX))
  }

  #addOperations(): void {
    const { service, telemetry, checkReady } = this.#options
    const health = { type: 'object', properties: { status: { type: 'string' } }, required: ['status'] }
    this.get('/health/live', {
      summary: 'Whether the process answers',
      response: health,
      handler: () => ({ status: 'live' }),
    })
    this.get('/health/ready', {
      summary: 'Whether the service can do its work; 503 with the reason while it cannot',
      response: health,
      problems: ['log_unavailable', 'store_unavailable', 'statistics_unavailable', 'anomalies_unavailable'],
      handler: async () => {
        await checkReady()
        return { status: 'ready' }
      },
    })
    this.app.get('/metrics', { schema: metricsSchema(service) }, async (_request, reply) =>
      reply.type(telemetry.metricsType).send(await telemetry.metrics()),
    )
    this.app.get('/openapi.json', { schema: { hide: true } }, () => this.openapi())
  }

  #rememberRoute(url: string, methods: string[]): void {
    if (url.includes('*')) return
    const matches = new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`)
    const known = this.#methods.get(url) ?? { matches, methods: new Set() }
    for (const method of methods) known.methods.add(method)
    this.#methods.set(url, known)
  }

  #checkKey(request: FastifyRequest): void {
    // What was routed, not what was written: one path has many spellings.
    const route = request.routeOptions.url ?? ''
    if (OPEN_ROUTES.test(route) || this.#options.openRoutes?.test(route)) return
    // It has a key of its own.
    if (request.method === 'POST' && this.#fastPath.get(route)?.internal) return
    checkKey(this.#options.config.apiKeys, this.#scopeOf(request.method, route), request.headers.authorization)
  }

  #scopeOf(method: string, route: string): KeyScope {
    if (method === 'GET' || method === 'HEAD') return 'read'
    return this.#operating.has(`${method} ${route}`) ? 'operate' : 'write'
  }

  #answerNotFound(request: FastifyRequest): never {
    const path = decodeURI(request.url.split('?', 1)[0] as string)
    for (const { matches, methods } of this.#methods.values()) {
      if (!matches.test(path)) continue
      const allow = [...methods].join(', ')
      throw new HttpProblem('method_not_allowed', `${path.slice(0, 200)} takes ${allow}`, { headers: { allow } })
    }
    throw new HttpProblem('unknown_path', 'see /docs for the paths of this service')
  }
}
