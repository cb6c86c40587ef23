import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export type BareServer = AsyncDisposable & { address: string }

/** A server that parses what is posted and answers, and does nothing else. */
export function startBareParser(): Promise<BareServer> {
  return start('./bare-server.ts')
}

/** The same, but it answers when Kafka has the event. */
export function startBareAppender(kafka: { address: string; topic: string }): Promise<BareServer> {
  return start('./bare-appender.ts', { args: [kafka.address, kafka.topic] })
}

/** A server that sends these bytes, whatever it is asked. */
export function startBareAnswer(body: string): Promise<BareServer> {
  return start('./bare-answer.ts', { input: body })
}

export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

/** Its first line says where it listens. */
async function start(
  file: string,
  { args = [], input = '' }: { args?: string[]; input?: string } = {},
): Promise<BareServer> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = spawn(process.execPath, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(input)
  const lines = createInterface({ input: child.stdout })
  const [line] = (await Promise.race([once(lines, 'line'), once(lines, 'close')])) as [string | undefined]
  if (line === undefined) throw new Error(`${file} ended before it listened`)
  return { address: line, [Symbol.asyncDispose]: () => endProcess(child) }
}
