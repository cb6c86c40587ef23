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

/** The same while it runs: `said` resolves when it has written the text to stderr. */
export function startCli(args: readonly string[], variables: Record<string, string> = {}) {
  const env = { ...process.env, ...variables }
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'ignore', 'pipe'], env })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    stderr += piece
  })
  const code = new Promise<number | null>((resolve) => {
    child.once('close', resolve)
  })
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => stderr.includes(text) && resolve()
      child.stderr.on('data', look)
      void code.then(() => reject(new Error(`it ended without it: ${stderr}`)))
      look()
    })
  return { code, said }
}

const PROGRAM = fileURLToPath(new URL('../runify.ts', import.meta.url))
