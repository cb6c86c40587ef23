import type { Operations } from './operations.ts'

/** One way to ask the services: through the dashboard, with the key that was typed, problems told apart by their code. */

type Gets = { [K in keyof Operations as K extends `GET ${infer P}` ? P : never]: Operations[K] }
export type GetPath = keyof Gets
export type AnswerOf<P extends GetPath> = Gets[P]['answer']
export type FieldProblem = { pointer: string; detail: string; index?: number }
type Query = Record<string, string | number | boolean | undefined>

export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly errors: FieldProblem[]

  constructor({
    status,
    code,
    detail,
    errors = [],
  }: { status: number; code: string; detail: string; errors?: FieldProblem[] }) {
    super(detail)
    this.status = status
    this.code = code
    this.errors = errors
  }

  /** Nobody answers there now; it may do so later without anybody changing anything. */
  get isAway(): boolean {
    return this.status === 0 || this.status >= 500 || this.status === 429
  }

  /** This Runify does not have it. */
  get isMissing(): boolean {
    return this.code === 'unknown_path' || this.code === 'service_unknown'
  }

  get wantsKey(): boolean {
    return this.status === 401 || this.status === 403
  }
}

const KEY = 'runify-key'

/** Kept as long as the browser's tab: whoever sits down at it later does not have it. */
export function readKey(): string {
  return sessionStorage.getItem(KEY) ?? ''
}

export function writeKey(key: string): void {
  if (key === '') sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, key)
}

export async function get<P extends GetPath>(
  path: P,
  parameters: Gets[P]['parameters'],
  signal?: AbortSignal,
): Promise<AnswerOf<P>> {
  return (await getPage(path, parameters, signal)).answer
}

export type Page<T> = { answer: T; next: string | undefined }

/** With the address of the next page, where there is one. */
export async function getPage<P extends GetPath>(
  path: P,
  parameters: Gets[P]['parameters'],
  signal?: AbortSignal,
): Promise<Page<AnswerOf<P>>> {
  return getAt<AnswerOf<P>>(toAddress(path, parameters as Query), signal)
}

export async function getAt<T>(address: string, signal?: AbortSignal): Promise<Page<T>> {
  const response = await send(address, { signal: signal ?? null })
  const next = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
  return { answer: (await response.json()) as T, next }
}

export async function post<T>(
  path: string,
  body: string | object,
  { type = 'application/json', signal }: { type?: string; signal?: AbortSignal } = {},
): Promise<T> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await send(path, {
    method: 'POST',
    body: text,
    headers: { 'content-type': type },
    signal: signal ?? null,
  })
  return (await response.json()) as T
}

/** A stream of server-sent events, as its lines come. `EventSource` cannot show a key. */
export async function openStream(
  address: string,
  signal: AbortSignal,
  lastId = '',
): Promise<ReadableStream<Uint8Array>> {
  const headers = { accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) }
  const { body } = await send(address, { headers, signal })
  return body as ReadableStream<Uint8Array>
}

export function toAddress(path: string, parameters: Query): string {
  const query = new URLSearchParams()
  let address = path
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || value === '') continue
    if (address.includes(`{${name}}`)) address = address.replace(`{${name}}`, encodeURIComponent(String(value)))
    else query.set(name, String(value))
  }
  return query.size === 0 ? address : `${address}?${query}`
}

async function send(address: string, { headers, ...init }: RequestInit): Promise<Response> {
  const key = readKey()
  const sent = { ...(headers as Record<string, string>), ...(key && { authorization: `Bearer ${key}` }) }
  const response = await fetch(address, { ...init, headers: sent, cache: 'no-store' }).catch((error: Error) => {
    if (error.name === 'AbortError') throw error
    throw new Problem({ status: 0, code: 'offline', detail: 'The dashboard itself does not answer.' })
  })
  if (response.ok) return response
  const told = (await response.json().catch(() => ({}))) as { code?: string; detail?: string; errors?: FieldProblem[] }
  throw new Problem({
    status: response.status,
    code: told.code ?? 'unknown',
    detail: told.detail ?? `it answered ${response.status}`,
    errors: told.errors ?? [],
  })
}

export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  return new Problem({ status: 0, code: 'unexpected', detail: error instanceof Error ? error.message : String(error) })
}
