import { availableParallelism } from 'node:os'
import { findSuites, runTests } from './run-tests.ts'

/** `npm test [-- file or pattern…]`: all tests that need nothing but `npm ci`, and which ones there are besides. */

const chosen = process.argv.slice(2)
const files = findSuites({ kind: 'plain', chosen })
/** Most tests wait more than they compute: with one file at a time, two cores are mostly idle. */
const CONCURRENCY_MIN = 2
const concurrency = Math.max(CONCURRENCY_MIN, availableParallelism())
const { passed, failed } = await runTests(files, { concurrency, fileMsMax: 600_000 })
const notRun = findSuites({ kind: 'server', chosen })
if (notRun.length > 0) {
  console.log(`\nserver-backed suites: 0 ran, ${notRun.length} did not, because npm test needs no server.`)
  console.log('`npm run test:servers` brings Kafka and MySQL up with docker compose, and runs:')
  for (const file of notRun) console.log(`  ${file}`)
}
const loads = findSuites({ kind: 'load', chosen })
if (loads.length > 0) {
  console.log(`\nload tools: 0 suites ran, ${loads.length} did not, because JMeter needs Java 17 and Maven.`)
  console.log('`npm run test:load` runs:')
  for (const file of loads) console.log(`  ${file}`)
}
const browsers = findSuites({ kind: 'browser', chosen })
if (browsers.length > 0) {
  console.log(`\nbrowser suites: 0 ran, ${browsers.length} did not, because they need Chromium.`)
  console.log('`npm run test:browser` runs:')
  for (const file of browsers) console.log(`  ${file}`)
}
if (passed === 0 || failed > 0) process.exitCode = 1
