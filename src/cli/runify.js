#!/usr/bin/env node
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// What `npx runify` starts: JavaScript that a Node which cannot read TypeScript understands. Such a one hands over to the
// Node that `npm ci` has installed here, or says in one line what is missing.

const NODE_MAJOR_MIN = 26
const PROGRAM = fileURLToPath(new URL('./runify.ts', import.meta.url))
const INSTALLED = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url))
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']

if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) {
  await import('./runify.ts')
} else if (existsSync(INSTALLED)) {
  handOver()
} else {
  const found = `${process.execPath} is Node ${process.versions.node}`
  console.error(`runify: needs Node ${NODE_MAJOR_MIN} or newer, and ${found}; npm ci in Runify's folder installs one`)
  process.exitCode = 2
}

function handOver() {
  const child = spawn(INSTALLED, [PROGRAM, ...process.argv.slice(2)], { stdio: 'inherit' })
  const forward = (signal) => child.kill(signal)
  for (const signal of SIGNALS) process.on(signal, forward)
  child.once('error', ({ message }) => {
    console.error(`runify: ${INSTALLED} does not start: ${message}`)
    process.exitCode = 2
  })
  child.once('exit', (code, signal) => {
    for (const each of SIGNALS) process.off(each, forward)
    if (signal === null) process.exitCode = code
    // It ends as the other one did.
    else process.kill(process.pid, signal)
  })
}
