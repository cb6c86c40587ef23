import { hash, timingSafeEqual } from 'node:crypto'
import type { ApiKey, KeyScope } from '../config.ts'
import { HttpProblem } from './problem.ts'

const BEARER = /^Bearer +(\S+)$/i
const CHALLENGE = { 'www-authenticate': 'Bearer realm="runify"' }

/**
 * Checks `Authorization: Bearer <key>` against the configured keys. A `write` key only sends events and a `read` key only
 * reads, so that what leaks from a watch shows nobody's runs and erases nothing. An `operate` key does what cannot be
 * undone or sets something going again, and reads, for who operates has to look first; it sends no events. Without
 * configured keys everybody may do everything.
 */
export function checkKey(keys: readonly ApiKey[], scope: KeyScope, authorization: string | undefined): void {
  if (keys.length === 0) return
  if (authorization === undefined) {
    throw new HttpProblem('key_required', 'send the key as Authorization: Bearer <key>', { headers: CHALLENGE })
  }
  const sent = BEARER.exec(authorization)?.[1]
  const key = sent === undefined ? undefined : findKey(keys, scope, sent)
  if (key === undefined) throw new HttpProblem('key_unknown', 'no such key', { headers: CHALLENGE })
  if (!allows(key, scope)) {
    throw new HttpProblem('key_scope', `this needs a key of scope ${scope}, and ${key.name} has ${key.scope}`)
  }
}

/** Compares with every key in the same time, so that an answer's delay says nothing about the keys. */
function findKey(keys: readonly ApiKey[], scope: KeyScope, sent: string): ApiKey | undefined {
  const digest = hash('sha256', sent, 'buffer')
  let found: ApiKey | undefined
  for (const key of keys) {
    // One key may be listed for several scopes.
    const isSent = timingSafeEqual(digest, Buffer.from(key.sha256, 'hex'))
    if (isSent && (found === undefined || !allows(found, scope))) found = key
  }
  return found
}

function allows(key: ApiKey, scope: KeyScope): boolean {
  return key.scope === scope || (key.scope === 'operate' && scope === 'read')
}
