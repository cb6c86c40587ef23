import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VersionCache } from './version-cache.ts'

test('A cache keeps answers with their versions within its bound, and forgets what was asked for longest ago', () => {
  const cache = new VersionCache<string>(10, (value) => value.length)
  cache.put('a', { version: 1, value: 'aaaa' })
  cache.put('b', { version: 2, value: 'bbbb' })
  assert.deepEqual(cache.get('a'), { version: 1, value: 'aaaa' })
  cache.put('c', { version: 3, value: 'cccc' })
  assert.deepEqual([cache.get('a')?.version, cache.get('b'), cache.get('c')?.version], [1, undefined, 3])
  cache.put('a', { version: 4, value: 'aa' })
  cache.put('b', { version: 5, value: 'bbbb' })
  assert.deepEqual([cache.get('a')?.version, cache.get('b')?.version, cache.get('c')?.version], [4, 5, 3])
  cache.put('d', { version: 6, value: 'd'.repeat(11) })
  assert.deepEqual([cache.get('d'), cache.get('a')?.value], [undefined, 'aa'])
})
