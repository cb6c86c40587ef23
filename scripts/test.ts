import { findSuites, runTests } from './run-tests.ts'

/** `npm test [-- file or pattern…]`: all tests that need no server, and which ones there are besides. */

const chosen = process.argv.slice(2)
const { passed, failed } = await runTests(findSuites({ servers: false, chosen }), { concurrency: true })
const notRun = findSuites({ servers: true, chosen })
if (notRun.length > 0) {
  console.log(`\nserver-backed suites: 0 ran, ${notRun.length} did not, because npm test needs no server.`)
  console.log('`npm run test:servers` brings Kafka and MySQL up with docker compose, and runs:')
  for (const file of notRun) console.log(`  ${file}`)
}
if (passed === 0 || failed > 0) process.exitCode = 1
