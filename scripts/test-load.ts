import { findSuites, runTests } from './run-tests.ts'

/** `npm run test:load [-- file or pattern…]`: the load tools against a running Runify. None of the suites may be skipped. */

const files = findSuites({ kind: 'load', chosen: process.argv.slice(2) })
const { passed, failed, skipped } = await runTests(files, { concurrency: 1 })
console.log(`load tools: ${files.length} suites ran, ${passed} passed, ${failed} failed, ${skipped} skipped`)
if (passed === 0 || failed > 0 || skipped > 0) process.exitCode = 1
