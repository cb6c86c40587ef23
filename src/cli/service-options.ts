import { readFile } from 'node:fs/promises'
import { bearer, serviceUrl } from '../clients/service-request.ts'
import { checkField } from '../events/field.ts'
import { formatInstant, parseInstant } from '../events/instant.ts'
import { CommandError, UsageError } from './command.ts'

/** What commands have in common that talk to a service: where it is, and the key that they show. */

/** Reads an address such as `http://127.0.0.1:8080`; it may have a path, if a proxy stands before the service. */
export function readAddress(option: string, text: string): URL {
  const url = URL.parse(text)
  const wellFormed = url !== null && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === ''
  if (!wellFormed)
    throw new UsageError(`${option} must be an address like http://127.0.0.1:8080, not ${JSON.stringify(text)}`)
  if (url.username !== '' || url.password !== '')
    throw new UsageError(`${option} cannot hold a user or password: use --key`)
  return url
}

export function readUser(text: string): string {
  const user = checkField({ kind: 'uuid', description: '' }, text)
  if (typeof user !== 'string') throw new UsageError(`--user must be a UUID, not ${JSON.stringify(text)}`)
  return user
}

/** Reads an option that is a time, and gives it in the form that services write. */
export function instantOption(option: string, text: string): string {
  const instant = parseInstant(text)
  if (instant !== undefined) return formatInstant(instant)
  const form = 'an RFC 3339 date-time with a zone, like 2024-05-01T06:30:00Z'
  throw new UsageError(`${option} must be ${form}, not ${JSON.stringify(text)}`)
}

/** The address of a path of the service at `base`. */
export function pathAt(base: URL, path: string): URL {
  return new URL(serviceUrl(base.href, path))
}

/** The key of `--key`, of the file that `--key-file` names, or else `fallback`. */
export async function readKey({
  key,
  keyFile,
  fallback,
}: {
  key: string | undefined
  keyFile: string | undefined
  fallback?: string | undefined
}): Promise<string | undefined> {
  if (key !== undefined && keyFile !== undefined) throw new UsageError('--key and --key-file are both given')
  const text = keyFile === undefined ? (key ?? fallback) : (await readKeyFile(keyFile)).trim()
  if (text !== undefined && !/^[\x21-\x7e]+$/.test(text))
    throw new UsageError('the key must be printable ASCII, without spaces')
  return text
}

/** Asks a service, and gives its answer if it is 200. Throws a `CommandError` that says what it answered instead. */
export async function askService(
  url: URL,
  { key, ...init }: RequestInit & { key: string | undefined },
): Promise<Response> {
  const headers = new Headers(init.headers)
  for (const [name, value] of Object.entries(bearer(key))) headers.set(name, value)
  // A redirect is not followed: it could take the key elsewhere.
  const response = await fetch(url, { ...init, headers, redirect: 'manual' }).catch((error: Error) => {
    throw new CommandError(`${url.origin} does not answer: ${reasonOf(error)}`, { cause: error })
  })
  if (response.status === 200) return response
  const { detail } = Object(await response.json().catch(() => undefined)) as { detail?: unknown }
  const hint = response.status === 401 || response.status === 403 ? ': see --key' : ''
  throw new CommandError(
    `${url.origin} answered ${response.status}${typeof detail === 'string' ? ` (${detail})` : ''}${hint}`,
  )
}

/** What the network said, which `fetch` hides behind words of its own. */
export function reasonOf(error: Error): string {
  const cause = error.cause as NodeJS.ErrnoException | undefined
  return cause?.code ?? cause?.message ?? error.message
}

function readKeyFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new CommandError(`cannot read ${path}: ${error.message}`, { cause: error })
  })
}
