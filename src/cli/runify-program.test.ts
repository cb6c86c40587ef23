import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, mkdtempDisposable, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOLDER = await mkdtempDisposable(join(tmpdir(), 'runify-program-'))
after(() => FOLDER.remove())

/** A Node that tells an older version, and runs only JavaScript, as those did. */
const OLD = `#!/bin/sh
exec '${process.execPath}' --no-strip-types --import='data:text/javascript,
  Object.defineProperty(process.versions, "node", { value: "20.20.2" })' "$@"
`

type Run = { code: number | string; stdout: string; stderr: string }

function run(program: string, args: readonly string[], cwd: string): Promise<Run> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }))
  })
}

describe('npx runify', () => {
  test('is what package.json names', async () => {
    const { bin } = JSON.parse(await readFile(`${ROOT}package.json`, 'utf8')) as { bin: Record<string, string> }
    assert.deepEqual(bin, { runify: 'src/cli/runify.js' })
  })

  test('runs from any folder, by an older Node too, where npm ci was', async () => {
    const old = join(FOLDER.path, 'old-node')
    await writeFile(old, OLD)
    await chmod(old, 0o755)
    for (const node of [process.execPath, old]) {
      const { code, stdout, stderr } = await run(node, [`${ROOT}src/cli/runify.js`, '--version'], FOLDER.path)
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
      assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
      const wrong = await run(node, [`${ROOT}src/cli/runify.js`, 'fly'], FOLDER.path)
      assert.deepEqual([wrong.code, wrong.stderr], [2, 'runify: there is no command "fly", see runify --help\n'])
    }
  })

  test('says in one line which Node it needs, where there is an older one only', async () => {
    const copy = join(FOLDER.path, 'copy')
    const old = join(FOLDER.path, 'old-node-alone')
    await writeFile(old, OLD)
    await chmod(old, 0o755)
    await mkdir(join(copy, 'src/cli'), { recursive: true })
    await cp(`${ROOT}src/cli/runify.js`, join(copy, 'src/cli/runify.js'))
    await cp(`${ROOT}package.json`, join(copy, 'package.json'))
    await symlink(join(copy, 'src/cli/runify.js'), join(FOLDER.path, 'runify'))
    const { code, stdout, stderr } = await run(old, [join(FOLDER.path, 'runify'), 'send', 'x.ndjson'], FOLDER.path)
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /^runify: needs Node 26 or newer, and .* is Node 20\.20\.2; npm ci .* installs one\n$/)
  })
})
