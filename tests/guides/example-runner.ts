import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { readConfig, SERVICES } from '../../src/config.ts'
import { type Runify, settled, temporaryFolder } from '../../test-support/harness.ts'
import type { Example } from './guide.ts'
import { assertShape } from './shape.ts'

const CLI = fileURLToPath(new URL('../../src/cli/runify.ts', import.meta.url))
const SCRIPT_MS_MAX = 60_000

export type ExampleRunner = AsyncDisposable & { run: (example: Example) => Promise<void> }

/**
 * Runs examples in a shell, one after the other in one folder, as their reader would: with the default addresses, which
 * lead to the running system here, with `curl` and `npx runify`. Whatever an example needs of those before it (what they
 * sent is stored and counted) is there when it begins.
 */
export async function openExampleRunner(runify: Runify): Promise<ExampleRunner> {
  await using opened = new AsyncDisposableStack()
  const { path } = opened.use(await temporaryFolder())
  const tools = join(path, 'tools')
  const [folder, statuses] = [join(path, 'folder'), join(path, 'statuses')]
  for (const name of [tools, folder]) await mkdir(name)
  // The last line of what it writes to stderr is the status, which goes to a file instead.
  const curl = `exec 4>&1
errors=$("$(PATH=\${PATH#*:} command -v curl)" -sS -w '%{stderr}\\n%{http_code}' "$@" 3>&1 >&4 2>&3) || code=$?
printf '%s\\n' "\${errors##*$'\\n'}" >>'${statuses}'
printf '%s' "\${errors%$'\\n'*}" >&2
exit \${code:-0}`
  await writeTool(tools, 'curl', curl)
  await writeTool(tools, 'npx', `[ "$1" = runify ] && shift && exec '${process.execPath}' '${CLI}' "$@"`)
  const dataDir = runify.dir === undefined ? {} : { RUNIFY_DATA_DIR: runify.dir }
  const env = { ...process.env, ...urlsOf(runify), ...dataDir, PATH: `${tools}:${process.env.PATH}` }
  const all = opened.move()
  return {
    async run(example) {
      await settled(runify)
      await writeFile(statuses, '')
      const { code, stdout, stderr } = await runScript(withAddresses(example.script, runify), { folder, env })
      assert.equal(code, 0, `it ended with ${code}:\n${stdout}${stderr}`)
      checkStatuses(example, (await readFile(statuses, 'utf8')).split('\n').filter(Boolean).map(Number), stdout)
      if (example.answer !== undefined) assertShape(stdout, example.answer)
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

function checkStatuses({ statuses }: Example, seen: readonly number[], stdout: string): void {
  for (const { call, status } of statuses) {
    assert.equal(seen[call], status, `call ${call + 1} of curl answered:\n${stdout}`)
  }
  for (const [call, status] of seen.entries()) {
    const told = statuses.some((one) => one.call === call)
    assert.ok(told || status < 400, `call ${call + 1} of curl answered ${status}:\n${stdout}`)
  }
}

/** The script with `localhost` and a default port replaced by where the service listens here. */
function withAddresses(script: string, { addresses }: Runify): string {
  const { ports } = readConfig({})
  return SERVICES.reduce((text, service) => {
    const { host } = new URL(addresses[service])
    return text.replaceAll(new RegExp(`\\b(localhost|127\\.0\\.0\\.1):${ports[service]}\\b`, 'g'), host)
  }, script)
}

/** Where commands look for services that the command line does not name, as `RUNIFY_STORAGE_URL`. */
function urlsOf({ addresses }: Runify): Record<string, string> {
  return Object.fromEntries(
    SERVICES.map((service) => [`RUNIFY_${service.toUpperCase().replaceAll('-', '_')}_URL`, addresses[service]]),
  )
}

async function writeTool(folder: string, name: string, body: string): Promise<void> {
  await writeFile(join(folder, name), `#!/usr/bin/env bash\n${body}\n`, { mode: 0o755 })
}

async function runScript(script: string, { folder, env }: { folder: string; env: NodeJS.ProcessEnv }) {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: SCRIPT_MS_MAX,
  })
  const closed = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal))
  })
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code, stdout, stderr }
}
