import autocannon from 'autocannon'

export type Loop = { connections: number; seconds: number }
export type Request = { method: 'GET' | 'POST'; path: string; body?: string }

/** Requests in a closed loop, by turns: each connection sends the next when it has its answer. Milliseconds. */
export async function closedLoop(
  address: string,
  requests: readonly Request[],
  { connections, seconds }: Loop,
): Promise<{ rate: number; p99: number }> {
  const result = await autocannon({
    url: address,
    connections,
    duration: seconds,
    requests: requests.map((request) => ({ ...request, headers: { 'content-type': 'application/json' } })),
  })
  if (result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${address}: ${result.non2xx} answers were not 2xx, ${result.errors} errors`)
  }
  return { rate: result['2xx'] / result.duration, p99: result.latency.p99 }
}

export function posts(path: string, bodies: readonly string[]): Request[] {
  return bodies.map((body) => ({ method: 'POST', path, body }))
}

export function gets(paths: readonly string[]): Request[] {
  return paths.map((path) => ({ method: 'GET', path }))
}

const BODIES_AT_ONCE = 2

/** Posts the bodies, two at a time; each must be accepted whole. */
export async function sendAll(
  receiver: string,
  type: string,
  bodies: Iterable<Buffer | string>,
  path?: string,
): Promise<void> {
  const iterator = bodies[Symbol.iterator]()
  const send = async () => {
    for (let next = iterator.next(); !next.done; next = iterator.next()) await post(receiver, type, next.value, path)
  }
  await Promise.all(Array.from({ length: BODIES_AT_ONCE }, send))
}

/** The answer, which must be 201: a 207 would mean that not all of a body counts. */
export async function post(
  receiver: string,
  type: string,
  body: Buffer | string,
  path = '/stats/running',
): Promise<string> {
  const response = await fetch(`${receiver}${path}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body: body as Uint8Array<ArrayBuffer> | string,
  })
  const text = await response.text()
  if (response.status !== 201) throw new Error(`${receiver} answered ${response.status}: ${text}`)
  return text
}

export async function getText(url: string): Promise<string> {
  const response = await fetch(url)
  const text = await response.text()
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`)
  return text
}

export async function getJson<T>(url: string): Promise<T> {
  return JSON.parse(await getText(url)) as T
}
