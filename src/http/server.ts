import cluster from 'node:cluster'
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import accepts from '@fastify/accepts'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import {
  type FastifyInstance,
  type FastifyListenOptions,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify'
import type { Config, KeyScope } from '../config.ts'
import { isFailure } from '../errors.ts'
import type { Telemetry } from '../telemetry.ts'
import { ANSWER_BYTES, AnswerBudget } from './answer-budget.ts'
import { checkKey } from './api-keys.ts'
import { discardBody } from './body.ts'
import { Acceptors, findPort, listenError, SHARED } from './connections/acceptors.ts'
import { connectionBounds } from './connections/connection-bounds.ts'
import { linger, lingerWhenAnswered } from './connections/lingering-close.ts'
import { Pipeline } from './connections/pipeline.ts'
import { checkHead, toOriginForm } from './connections/request-head.ts'
import { EVENT_STREAM, unavailableEvent, wantsEventStream } from './event-stream.ts'
import { BODY_PROBLEMS, type OrderRoute, readOrder } from './json-body.ts'
import { PAGE_BYTES_MAX } from './next-page.ts'
import { type Parameter, type Parameters, type ParameterValues, parameterSchema, readParameters } from './parameter.ts'
import { type PostRoute, writeAnswer } from './post-path.ts'
import { HttpProblem, NO_SNIFFING, PROBLEM_OF_FAILURE, type ProblemCode } from './problem.ts'

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
  /** Throws while something that the service cannot do without is away. */
  checkReady: () => Promise<void>
}

export type Route<P extends Parameters> = {
  summary: string
  description?: string
  parameters?: P
  /** The media types that it can answer with, the preferred first. */
  produces?: readonly string[]
  /** What 200 holds: JSON Schema. */
  response: Record<string, unknown>
  /** The problems it can answer with, beside those that every path has. */
  problems?: readonly ProblemCode[]
  /** Where it has a parameter `limit`: what one row takes in memory at most until it is sent. */
  rowBytesMax?: number
  handler: (at: {
    values: ParameterValues<P>
    request: FastifyRequest
    reply: FastifyReply
    mediaType: string
  }) => unknown
}

const JSON_TYPE = 'application/json'
const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'
/** SIGTERM must end within 10 s, the closing of log and store included: what is still being answered after this is cut off. */
const CLOSE_DEADLINE_MS = 5000
/** What the API page may load: this host only. The page's own standard asks for HTTPS, which nothing here speaks. */
const DOCS_POLICY =
  "default-src 'self'; base-uri 'self'; font-src 'self' data:; frame-ancestors 'self'; img-src 'self' data:; " +
  "object-src 'none'; script-src 'self'; script-src-attr 'none'; style-src 'self'"
const SMALL_BODY_BYTES = 64 * 1024
const ROW_BYTES = 1024
/**
 * Connections that the kernel has made and nobody has accepted yet; it lowers this to its own limit. With Node's 511,
 * many that come at once lose their handshake, and some wait for half a minute without an answer.
 */
const BACKLOG = 8192
/**
 * What is begun in one turn of the event loop. Requests that come faster than they are begun make the turns long, and all
 * wait for them: what comes later than so many milliseconds in a turn is refused, at a third of the cost. So few as this
 * number are begun all the same: they wait because the machine does something else, not for each other.
 */
const TURN_MS_MAX = 80
const TURN_REQUESTS_MIN = 256
const BUSY_DETAIL = 'more requests are under way than this service takes at once'
const BUSY = busyAnswer()
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

  readonly #posts = new Map<string, PostRoute>()
  /** Path pattern → the rows that it answers with. */
  readonly #rows = new Map<string, { standard: number; max: number; bytesMax: number }>()
  readonly #pipeline = new Pipeline()
  readonly #answers: AnswerBudget
  /** What operates, as `DELETE /users/:user_id`: it needs a key of scope `operate`. */
  readonly #operating = new Set<string>()
  #postsUnderWay = 0
  #postsInTurn = 0
  #turnBegan = 0
  #connections = 0
  #closing = false
  readonly #acceptors = new Acceptors((socket) => this.app.server.emit('connection', socket))
  #stopped: Promise<void> | undefined
  readonly #stopWork: (() => Promise<void>)[] = []

  private constructor(options: ServerOptions) {
    this.#options = options
    this.#answers = AnswerBudget.ofThread(options.config.answerBytesMax)
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
      frameworkErrors: (error, request, reply) => void this.#answerError(error, request, reply),
      clientErrorHandler: answerBrokenRequest,
    })
    this.#shortenPosts()
    this.#limitConnections()
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

  /** Adds a path that removes what it names; it reads no body. */
  /** Adds a path that removes something. Needs a key of scope `operate` where there are keys. */
  delete<P extends Parameters>(path: string, route: Route<P>): void {
    this.#operating.add(`DELETE ${path}`)
    this.#add('delete', path, { ...route, description: withScope(route.description) })
  }

  #add<P extends Parameters>(method: 'get' | 'delete', path: string, route: Route<P>): void {
    const { parameters = {} as P, produces = [JSON_TYPE], rowBytesMax: bytesMax = ROW_BYTES, handler } = route
    const { limit } = parameters as Parameters
    if (limit?.kind === 'integer' && limit.standard !== undefined) {
      this.#rows.set(path, { standard: limit.standard, max: limit.max, bytesMax })
    }
    this.app[method](path, { schema: this.#getSchema(path, route) }, (request, reply) => {
      const mediaType = chooseType(request, produces)
      return handler({ values: readParameters(parameters, sentParameters(request)), request, reply, mediaType })
    })
  }

  /**
   * Adds a path that takes a body; the handler reads it. Such requests go round Fastify, which costs as much as all
   * else that is done for a single event; Fastify knows the path for the API page, and brings what comes by another
   * spelling of it.
   */
  post(path: string, route: PostRoute): void {
    const { summary, description, bodies, headers, responses, problems, internal } = route
    const content = Object.fromEntries(Object.entries(bodies).map(([type, schema]) => [type, { schema }]))
    const answers = Object.fromEntries(
      Object.entries(responses).map(([status, { description, schema }]) => [
        status,
        { description, content: { [JSON_TYPE]: { schema } } },
      ]),
    )
    const schema = {
      tags: [this.#options.service],
      summary,
      description,
      body: { content },
      ...(headers && { headers }),
      response: { ...answers, ...problemResponses(problems) },
    }
    this.#posts.set(path, route)
    this.app.post(path, { schema: internal ? { hide: true } : schema }, (request, reply) => {
      readParameters({}, request.query as Record<string, unknown>)
      reply.hijack()
      void this.#servePost(path, route, request.raw, reply.raw)
    })
  }

  /** Adds a path that takes a small JSON body and acts on it. Needs a key of scope `operate` where there are keys. */
  order<T>(path: string, route: OrderRoute<T>): void {
    const { summary, description, body, check, response, problems, handler } = route
    this.#operating.add(`POST ${path}`)
    const schema = {
      tags: [this.#options.service],
      summary,
      description: withScope(description),
      body: { content: { [JSON_TYPE]: { schema: body } } },
      response: {
        200: { description: summary, content: { [JSON_TYPE]: { schema: response } } },
        ...problemResponses([...BODY_PROBLEMS, ...problems]),
      },
    }
    this.app.post(path, { schema }, async (request, reply) => {
      readParameters({}, request.query as Record<string, unknown>)
      return handler({ order: await readOrder(request.raw, check), request, reply })
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
    this.#closing = true
    const deadline = setTimeout(() => this.app.server.closeAllConnections(), CLOSE_DEADLINE_MS)
    await Promise.all([this.#acceptors[Symbol.asyncDispose](), this.app.close()])
    clearTimeout(deadline)
  }

  #shortenPosts(): void {
    const { server } = this.app
    const [toFastify] = server.listeners('request') as [(request: IncomingMessage, response: ServerResponse) => void]
    server.removeAllListeners('request')
    const begin = (request: IncomingMessage, response: ServerResponse, route: PostRoute | undefined) => {
      if (route === undefined) {
        toOriginForm(request)
        toFastify(request, response)
      } else if (this.#begunTooMany() && isSmall(request)) this.#answerBusy(request, response)
      else void this.#servePost(request.url as string, route, request, response)
    }
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      // Nothing is switched to, and Node loses what came together with such a request: the rest could not be trusted.
      if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false
      const route = request.method === 'POST' ? this.#posts.get(request.url as string) : undefined
      // It has its socket when the answers before are out. Posts go side by side: the log takes many at a time, and there
      // is little to their answers.
      const mayBegin = response.socket !== null || (route !== undefined && !this.#pipeline.holds(request.socket))
      if (mayBegin) begin(request, response, route)
      else this.#pipeline.hold(request, response, () => begin(request, response, route))
    })
  }

  /** Counts this request, which must be asked of each once. */
  #begunTooMany(): boolean {
    const now = performance.now()
    if (this.#postsInTurn === 0) {
      this.#turnBegan = now
      setImmediate(() => (this.#postsInTurn = 0))
    }
    this.#postsInTurn++
    const late = this.#postsInTurn > TURN_REQUESTS_MIN && now - this.#turnBegan > TURN_MS_MAX
    return late || this.#postsUnderWay >= this.#options.config.requestsMax
  }

  /** Costs as little as can be: what is refused must not take the time of what is not. */
  #answerBusy(request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    response.sendDate = false
    response.writeHead(503, this.#closing ? [...BUSY.headers, 'connection', 'close'] : BUSY.headers)
    response.end(BUSY.body, 'latin1')
    this.#options.telemetry.requestDone({ method: 'POST', route: request.url as string, status: 503 }, 0)
  }

  /** A connection costs memory before it has sent anything. */
  #limitConnections(): void {
    const { server } = this.app
    const { service, config, telemetry } = this.#options
    const bounds = connectionBounds(service, config.connectionsMax)
    const listeners = server.listeners('connection') as ((socket: Socket) => void)[]
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      this.#connections++
      socket.once('close', () => this.#connections--)
      if (this.#connections > bounds.open) {
        telemetry.connectionRefused(bounds)
        // Those that are just being told are bounded too; others are closed without a word.
        if (this.#connections > bounds.open + bounds.refused) socket.destroy()
        else refuseConnection(socket)
        return
      }
      for (const listener of listeners) listener.call(server, socket)
    })
  }

  async #servePost(path: string, route: PostRoute, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now()
    this.#postsUnderWay++
    try {
      if (this.#postsUnderWay > this.#options.config.requestsMax) throw new HttpProblem('overloaded', BUSY_DETAIL)
      checkHead(request)
      if (!route.internal) checkKey(this.#options.config.apiKeys, 'write', request.headers.authorization)
      writeAnswer(response, await route.handler(request), this.#closing)
    } catch (error) {
      const problem = this.#toProblem(error, { method: 'POST', route: path })
      const body = JSON.stringify(problem.body())
      const headers = await this.#problemHeaders(problem, request)
      // Without its length it would go in chunks, as more packets.
      response.writeHead(problem.status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body)
    }
    this.#postsUnderWay--
    const at = { method: 'POST', route: path, status: response.statusCode }
    this.#options.telemetry.requestDone(at, (performance.now() - started) / 1000)
  }

  async #setUp(): Promise<void> {
    const { app } = this
    const { service, description, telemetry } = this.#options
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined))
    app.setValidatorCompiler(() => () => true)
    app.setSerializerCompiler(() => (data) => JSON.stringify(data))
    app.setErrorHandler((error, request, reply) => this.#answerError(error, request, reply))
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
    app.addHook('onSend', async (request, reply, payload) => {
      reply.headers(NO_SNIFFING)
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
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title: `Runify ${service}`, description, version: '1.0.0', license: { name: 'MIT' } },
        components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
        security: [{}, { key: [] }],
      },
    })
    await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: DOCS_POLICY })
    this.#addOperations()
  }

  /** What an answer may take until its size is known. */
  #answerBytes({ query, routeOptions }: FastifyRequest): number {
    const rows = this.#rows.get(routeOptions.url ?? '')
    if (rows === undefined) return ANSWER_BYTES
    const { limit = rows.standard } = query as { limit?: unknown }
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
    this.app.get(
      '/metrics',
      { schema: { tags: [service], summary: 'Metrics in the Prometheus text format', response: textResponse() } },
      async (_request, reply) => reply.type(telemetry.metricsType).send(await telemetry.metrics()),
    )
    this.app.get('/openapi.json', { schema: { hide: true } }, () => this.openapi())
  }

  #getSchema<P extends Parameters>(path: string, route: Route<P>) {
    const { summary, description, produces = [JSON_TYPE], response, problems = [] } = route
    const all = Object.entries<Parameter>(route.parameters ?? {})
    const inPath = (name: string) => path.includes(`:${name}`)
    const schemas = (chosen: typeof all) => ({
      type: 'object',
      properties: Object.fromEntries(chosen.map(([name, parameter]) => [name, parameterSchema(parameter)])),
      required: chosen.filter(([, parameter]) => parameter.required).map(([name]) => name),
    })
    const params = all.filter(([name]) => inPath(name))
    const query = all.filter(([name]) => !inPath(name))
    const content = Object.fromEntries(
      produces.map((type) => [type, { schema: type === JSON_TYPE ? response : { type: 'string' } }]),
    )
    const hasText = all.some(([, { kind }]) => kind === 'text')
    const known: ProblemCode[] = all.length > 0 ? ['invalid_parameter', ...problems] : [...problems]
    if (hasText) known.push('header_too_large')
    return {
      tags: [this.#options.service],
      summary,
      ...(description && { description }),
      ...(params.length > 0 && { params: schemas(params) }),
      ...(query.length > 0 && { querystring: schemas(query) }),
      response: { 200: { description: summary, content }, ...problemResponses(known) },
    }
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
    if (request.method === 'POST' && this.#posts.get(route)?.internal) return
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

  async #answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const problem = this.#toProblem(error, { method: request.method, route: request.routeOptions.url ?? 'none' })
    const headers = await this.#problemHeaders(problem, request.raw)
    if (problem.status === 503 && request.method === 'GET' && wantsEventStream(request.raw)) {
      const stream = { ...headers, 'content-type': `${EVENT_STREAM}; charset=utf-8`, 'cache-control': 'no-store' }
      return reply.code(200).headers(stream).send(unavailableEvent(problem))
    }
    return reply.code(problem.status).headers(headers).send(JSON.stringify(problem.body()))
  }

  #toProblem(error: unknown, at: { method: string; route: string }): HttpProblem {
    const problem = toProblem(error)
    if (problem.status === 500) this.#options.telemetry.requestFailed(error, at)
    return problem
  }

  /**
   * Throws away what is left of the body first: a client that is still sending would have its connection reset before
   * it reads the answer, and what is left would be taken for the next request. What is more than can be waited for comes
   * after the answer; when the server stops, all of it.
   */
  async #problemHeaders(problem: HttpProblem, request: IncomingMessage): Promise<Record<string, string>> {
    const headers = { 'content-type': PROBLEM_TYPE, ...problem.headers }
    const isWhole = (request.complete || !this.#closing) && (await discardBody(request))
    if (!isWhole) lingerWhenAnswered(request.socket)
    return isWhole && !this.#closing ? headers : { ...headers, connection: 'close' }
  }
}

function busyAnswer() {
  const problem = new HttpProblem('overloaded', BUSY_DETAIL)
  const body = JSON.stringify(problem.body())
  const headers = { ...problem.headers, 'content-type': PROBLEM_TYPE, 'content-length': `${Buffer.byteLength(body)}` }
  return { body, headers: Object.entries(headers).flat() }
}

function toProblem(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error
  if (isFailure(error)) return new HttpProblem(PROBLEM_OF_FAILURE[error.code], error.message)
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  if (code === 'FST_ERR_BAD_URL') return new HttpProblem('invalid_request', 'the path is not valid percent-encoding')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new HttpProblem('unsupported_media_type', 'the Content-Type header is not a media type')
  }
  if (code === 'FST_ERR_MAX_PARAM_LENGTH' || statusCode === 414)
    return new HttpProblem('uri_too_long', 'the path is too long')
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new HttpProblem('invalid_request', 'the request cannot be understood')
  }
  return new HttpProblem('internal', 'this is our fault and has been logged')
}

/** Of the address and its path together; one that is in both is given twice, as in an address that repeats it. */
function sentParameters({ query, params }: FastifyRequest): Record<string, unknown> {
  const sent = { ...(query as Record<string, unknown>) }
  for (const [name, value] of Object.entries(params as object)) {
    sent[name] = Object.hasOwn(sent, name) ? [sent[name], value] : value
  }
  return sent
}

function chooseType(request: FastifyRequest, produces: readonly string[]): string {
  const chosen = request.accepts().type([...produces])
  if (typeof chosen === 'string') return chosen
  throw new HttpProblem('not_acceptable', `this path answers with ${produces.join(', ')}`)
}

function problemResponses(codes: readonly ProblemCode[]): Record<string, unknown> {
  const byStatus = new Map<number, ProblemCode[]>()
  for (const code of codes) {
    const { status } = new HttpProblem(code, '')
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, listed]) => [
      status,
      { description: listed.join(', '), content: { 'application/problem+json': { schema: PROBLEM_SCHEMA } } },
    ]),
  )
}

const PROBLEM_SCHEMA = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { pointer: { type: 'string' }, detail: { type: 'string' } } },
    },
  },
}

function textResponse() {
  return { 200: { description: 'Metrics', content: { 'text/plain': { schema: { type: 'string' } } } } }
}

/** Whether its body arrives with it, more or less: one that is not read would keep its client from reading the answer. */
function withScope(description = ''): string {
  return `${description} Where keys are configured, it needs one of scope \`operate\`.`.trimStart()
}

function isSmall(request: IncomingMessage): boolean {
  return Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) <= SMALL_BODY_BYTES
}

function refuseConnection(socket: Socket): void {
  socket.on('error', () => {})
  const head = BUSY.headers.map((part, at) => (at % 2 === 0 ? `${part}: ` : `${part}\r\n`))
  // What it sends is read: it would be reset otherwise, and not see the answer.
  socket.resume().end(`HTTP/1.1 503 ${STATUS_CODES[503]}\r\n${head.join('')}connection: close\r\n\r\n${BUSY.body}`)
  linger(socket)
}

/** What is not HTTP never reaches a route: answered on the bare connection, in the same form as every other error. */
function answerBrokenRequest(this: FastifyInstance, error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) {
    socket.destroy()
    return
  }
  // Answered already: what the client still sends is thrown away, or its connection would be reset before it reads.
  if (!socket.writable) return
  const problem =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new HttpProblem('header_too_large', 'the headers are larger than 16 KiB')
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new HttpProblem('body_timeout', 'the request came too slowly')
        : new HttpProblem('invalid_request', 'the request is not valid HTTP/1.1')
  const body = JSON.stringify(problem.body())
  const head = `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nconnection: close\r\ncontent-type: ${PROBLEM_TYPE}\r\nx-content-type-options: nosniff`
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  linger(socket)
}
