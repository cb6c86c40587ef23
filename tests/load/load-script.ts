import { execFile } from 'node:child_process'
import type { Runify } from '../../test-support/harness.ts'

/** Maven may have to fetch JMeter first. */
const RUN_MS_MAX = 280_000

/** Runs a script of `scripts/` on a Runify to its end: its exit code, and all that it wrote. */
export function runLoadScript(script: string, addresses: Runify['addresses'], args: readonly string[] = []) {
  const ports = Object.entries(addresses).flatMap(([service, address]) => [`--${service}-port`, new URL(address).port])
  return new Promise<{ code: unknown; output: string }>((resolve) => {
    execFile(process.execPath, [script, ...args, ...ports], { timeout: RUN_MS_MAX }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, output: `${stdout}${stderr}` })
    })
  })
}
