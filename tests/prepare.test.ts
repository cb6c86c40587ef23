import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

test('what npm ci ends with lets Runify start and end, so that the compile cache is written', async () => {
  const script = fileURLToPath(new URL('../scripts/fill-compile-cache.ts', import.meta.url))
  assert.deepEqual(await promisify(execFile)(process.execPath, [script]), { stdout: '', stderr: '' })
})
