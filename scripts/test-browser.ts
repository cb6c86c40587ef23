import { findSuites, runTests } from './run-tests.ts'

/** `npm run test:browser [-- file or pattern…]`: the real page in the system's Chromium. None of the suites may be skipped. */

const files = findSuites({ kind: 'browser', chosen: process.argv.slice(2) })
const { passed, failed, skipped } = await runTests(files, { concurrency: 1 })
console.log(`browser: ${files.length} suites ran, ${passed} passed, ${failed} failed, ${skipped} skipped`)
if (passed === 0 || failed > 0 || skipped > 0) process.exitCode = 1
