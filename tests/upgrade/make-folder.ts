import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { startMysql } from '../../test-support/containers.ts'
import { answersOf, sendSome } from './answers.ts'

/**
 * Makes the data folder of a version, and what its services answered, for `upgrade.test.ts`:
 *
 *     git worktree add /tmp/old 4bc5bc8 && ln -s $PWD/node_modules /tmp/old/node_modules
 *     node tests/upgrade/make-folder.ts /tmp/old /tmp/old-data tests/upgrade/4bc5bc8-answers.json
 *     tar -czf tests/upgrade/4bc5bc8-data.tar.gz -C /tmp/old-data --exclude lock.db .
 *
 * With a fourth argument the store is a MySQL server's, in a container of its own, and is dumped there at the end, for
 * `mysql-upgrade.server.test.ts`; the folder has the log that goes with it:
 *
 *     node tests/upgrade/make-folder.ts /tmp/old /tmp/old-log tests/upgrade/4bc5bc8-mysql-answers.json tests/upgrade/4bc5bc8-mysql.sql.gz
 *     tar -czf tests/upgrade/4bc5bc8-mysql-log.tar.gz -C /tmp/old-log --exclude lock.db .
 */
const [checkout = '', dir = '', answers = '', dump] = process.argv.slice(2)
const ports = ['RECEIVER', 'STORAGE', 'PROCESSING', 'ANALYZER', 'ANOMALY', 'HEALTH', 'DASHBOARD']
await using mysql = dump === undefined ? undefined : await startMysql()
await mysql?.clear()
const child = spawn(process.execPath, [join(resolve(checkout), 'src/main.ts')], {
  env: {
    ...Object.fromEntries(ports.map((name) => [`${name}_PORT`, '0'])),
    ...(mysql && { RUNIFY_STORE: mysql.address }),
    RUNIFY_DATA_DIR: dir,
    RUNIFY_CANARY_PERIOD_MS: '1000',
    PROCESSING_PERIOD_MS: '50',
  },
  stdio: ['ignore', 'pipe', 'inherit'],
})
const exited = once(child, 'exit')
const addresses: Record<string, string> = {}
for await (const line of createInterface({ input: child.stdout })) {
  const { msg, service, address } = JSON.parse(line) as Record<string, string>
  if (msg === 'listening') addresses[service as string] = address as string
  if (Object.keys(addresses).length === ports.length) break
}
child.stdout.resume()
await sendSome(addresses)
// Some canaries.
await sleep(5000)
await writeFile(answers, `${JSON.stringify(await answersOf(addresses), null, 2)}\n`)
child.kill('SIGTERM')
await exited
if (mysql !== undefined && dump !== undefined) {
  const command = 'mysqldump -uroot -p"$MYSQL_ROOT_PASSWORD" --no-tablespaces --set-gtid-purged=OFF --hex-blob runify'
  await writeFile(dump, gzipSync(await mysql.container.exec('sh', '-c', command)))
}
