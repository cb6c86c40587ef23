import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { isMainThread } from 'node:worker_threads'

/**
 * Loaded before a program: kills it (-9) at its n-th call that changes a name in the file system or makes a change last, before
 * the call is made. `RUNIFY_TEST_KILL_AT` is n.
 */

const CHANGES = ['mkdirSync', 'renameSync', 'rmSync', 'rmdirSync', 'fsyncSync'] as const

let left = Number(process.env.RUNIFY_TEST_KILL_AT)
if (isMainThread) {
  for (const name of CHANGES) {
    const original = fs[name] as (...args: unknown[]) => unknown
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        if (--left === 0) process.kill(process.pid, 'SIGKILL')
        return original(...args)
      },
    })
  }
  syncBuiltinESMExports()
}
