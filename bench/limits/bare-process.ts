import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export type BareServer = AsyncDisposable & { address: string }

/** A server that parses what is posted and answers, and does nothing else. */
export function startBareParser(): Promise<BareServer> {
  return start(new URL('./bare-server.ts', import.meta.url).pathname)
}

/** The same, but it answers when Kafka has the event. */
export function startBareAppender(kafka: { address: string; topic: string }): Promise<BareServer> {
  return start(new URL('./bare-appender.ts', import.meta.url).pathname, kafka.address, kafka.topic)
}

/** A server that sends these bytes, whatever it is asked. */
export function startBareAnswer(body: string): Promise<BareServer> {
  return start(new URL('./bare-answer.ts', import.meta.url).pathname, body)
}

export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

/** Its first line says where it listens. */
async function start(file: string, ...args: string[]): Promise<BareServer> {
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const [line] = (await Promise.race([once(lines, 'line'), once(lines, 'close')])) as [string | undefined]
  if (line === undefined) throw new Error(`${file} ended before it listened`)
  return { address: line, [Symbol.asyncDispose]: () => endProcess(child) }
}
