import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export type CliRun = { code: number | null; stdout: string; stderr: string }

/** Runs the command line tool as its own process; `input` is its stdin, `variables` are added to the environment. */
export async function runCli(
  args: readonly string[],
  input: string | Buffer = '',
  variables: Record<string, string> = {},
): Promise<CliRun> {
  const env = { ...process.env, ...variables }
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: 'pipe', env })
  // A program that ends without reading its stdin is no failure of the test.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const closed = new Promise<number | null>((resolve) => {
    child.once('close', resolve)
  })
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code, stdout, stderr }
}

const PROGRAM = fileURLToPath(new URL('./runify.ts', import.meta.url))
