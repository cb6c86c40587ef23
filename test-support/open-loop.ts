import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type OpenLoop = {
  address: string
  path: string
  /** JSON bodies, sent by turns. */
  bodies: readonly string[]
  /** Requests a second. */
  rate: number
  seconds: number
  connectionsMax: number
  /** Whether all connections are there before the first request is sent; otherwise each is made when it is needed. */
  connected?: boolean
}

export type OpenLoopAnswers = {
  /** How long each answer took, milliseconds, by status; sorted. */
  latencies: Map<number, Float64Array>
  /** Bodies of the answers with 201. */
  accepted: string[]
  /** Answers other than 201 without `Retry-After`. */
  withoutRetry: number
  /** Requests whose connection broke before the answer. */
  broken: number
}

const TICK_MS = 1
const LAST_ANSWER_MS_MAX = 30_000

/**
 * Sends as many requests a second as it is told, whether they are answered or not, as many independent clients do. The
 * time of each counts from when it should have been sent, so that what waits for a free connection is not left out
 * (coordinated omission). A request has a connection for itself until it is answered.
 */
export async function openLoop(options: OpenLoop): Promise<OpenLoopAnswers> {
  const { address, path, bodies, rate, seconds, connectionsMax } = options
  const { hostname, port, host } = new URL(address)
  const head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length:`
  const requests = bodies.map((body) => Buffer.from(`${head} ${Buffer.byteLength(body)}\r\n\r\n${body}`))
  const times = new Map<number, number[]>()
  const accepted: string[] = []
  const idle: Connection[] = []
  const waiting: number[] = []
  let opened = 0
  let open = 0
  let broken = 0
  let withoutRetry = 0

  const answered = ({ status, headers, body, took }: Answer): void => {
    const all = times.get(status)
    if (all === undefined) times.set(status, [took])
    else all.push(took)
    if (status === 201) accepted.push(body)
    else if (!/\r\nretry-after: \d+/i.test(headers)) withoutRetry++
  }
  const send = (connection: Connection, n: number, intended: number): void => {
    open++
    connection.send(requests[n % requests.length] as Buffer, intended).then(
      (answer) => {
        open--
        answered(answer)
        if (answer.closes) opened--
        else idle.push(connection)
      },
      () => {
        open--
        opened--
        broken++
      },
    )
  }

  while (options.connected && opened < connectionsMax) {
    opened++
    const connection = new Connection(hostname, Number(port))
    await connection.connected()
    idle.push(connection)
  }
  const started = performance.now()
  const total = Math.floor(rate * seconds)
  let n = 0
  for (let due = 0; n < total || waiting.length > 0; ) {
    const now = performance.now()
    due = Math.min(total, Math.floor(((now - started) / 1000) * rate))
    for (; n < due; n++) waiting.push(started + (n / rate) * 1000)
    let taken = 0
    for (; taken < waiting.length; taken++) {
      let connection = idle.pop()
      if (connection === undefined) {
        if (opened >= connectionsMax) break
        opened++
        connection = new Connection(hostname, Number(port))
      }
      send(connection, n - waiting.length + taken, waiting[taken] as number)
    }
    waiting.splice(0, taken)
    if (waiting.length > 0 && now - started > seconds * 1000 + LAST_ANSWER_MS_MAX) break
    await sleep(TICK_MS)
  }
  const last = performance.now()
  while (open > 0 && performance.now() - last < LAST_ANSWER_MS_MAX) await sleep(10)
  if (open + waiting.length > 0) throw new Error(`${open + waiting.length} requests have no answer`)
  await Promise.all(idle.map((connection) => connection.close()))
  const latencies = new Map([...times].map(([status, all]) => [status, Float64Array.from(all).sort()]))
  return { latencies, accepted, withoutRetry, broken }
}

/** The value that `share` of all sorted values do not exceed; 0 of none. */
export function quantile(sorted: Float64Array | undefined, share: number): number {
  if (sorted === undefined || sorted.length === 0) return 0
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
}

type Answer = { status: number; headers: string; body: string; took: number; closes: boolean }

/** A connection with one request at a time. As plain as can be: the generator must cost less than what it loads. */
class Connection {
  readonly #socket: Socket
  #received = ''
  #intended = 0
  #answer: PromiseWithResolvers<Answer> | undefined

  constructor(host: string, port: number) {
    this.#socket = connect({ host, port, noDelay: true }).setEncoding('latin1')
    this.#socket.on('data', (chunk) => this.#take(String(chunk)))
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => this.#answer?.reject(new Error('the connection broke')))
  }

  send(request: Buffer, intended: number): Promise<Answer> {
    this.#answer = Promise.withResolvers()
    this.#intended = intended
    if (this.#socket.destroyed) this.#answer.reject(new Error('the connection was closed'))
    else this.#socket.write(request)
    return this.#answer.promise
  }

  async connected(): Promise<void> {
    await once(this.#socket, 'connect')
  }

  async close(): Promise<void> {
    if (this.#socket.destroyed) return
    this.#socket.destroy()
    await once(this.#socket, 'close')
  }

  #take(chunk: string): void {
    this.#received += chunk
    const end = this.#received.indexOf('\r\n\r\n')
    if (end === -1) return
    const headers = this.#received.slice(0, end)
    const length = Number(/content-length: (\d+)/i.exec(headers)?.[1])
    if (Number.isNaN(length)) {
      this.#socket.destroy(new Error('an answer without its length'))
      return
    }
    if (this.#received.length < end + 4 + length) return
    const body = this.#received.slice(end + 4, end + 4 + length)
    this.#received = this.#received.slice(end + 4 + length)
    const status = Number(headers.slice(9, 12))
    const closes = /\r\nconnection: close/i.test(headers)
    if (closes) this.#socket.destroy()
    const answer = this.#answer
    this.#answer = undefined
    answer?.resolve({ status, headers, body, took: performance.now() - this.#intended, closes })
  }
}
