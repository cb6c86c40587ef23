import { hash, timingSafeEqual } from 'node:crypto'
import type { ApiKey } from '../config.ts'
import { HttpProblem } from './problem.ts'

const BEARER = /^Bearer +(\S+)$/i
const CHALLENGE = { 'www-authenticate': 'Bearer realm="runify"' }

/**
 * Checks `Authorization: Bearer <key>` against the configured keys. A `write` key only writes and a `read` key only
 * reads, so that what leaks from a watch shows nobody's runs. Without configured keys everybody may do everything.
 */
export function checkKey(keys: readonly ApiKey[], scope: ApiKey['scope'], authorization: string | undefined): void {
  if (keys.length === 0) return
  if (authorization === undefined) {
    throw new HttpProblem('key_required', 'send the key as Authorization: Bearer <key>', { headers: CHALLENGE })
  }
  const sent = BEARER.exec(authorization)?.[1]
  const key = sent === undefined ? undefined : findKey(keys, scope, sent)
  if (key === undefined) throw new HttpProblem('key_unknown', 'no such key', { headers: CHALLENGE })
  if (key.scope !== scope) {
    throw new HttpProblem('key_scope', `this needs a key of scope ${scope}, and ${key.name} has ${key.scope}`)
  }
}

/** Compares with every key in the same time, so that an answer's delay says nothing about the keys. */
function findKey(keys: readonly ApiKey[], scope: ApiKey['scope'], sent: string): ApiKey | undefined {
  const digest = hash('sha256', sent, 'buffer')
  let found: ApiKey | undefined
  for (const key of keys) {
    // One key may be listed for both scopes.
    if (timingSafeEqual(digest, Buffer.from(key.sha256, 'hex')) && found?.scope !== scope) found = key
  }
  return found
}
