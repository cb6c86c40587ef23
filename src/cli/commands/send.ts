import { styleText } from 'node:util'
import { SendClient } from '../../clients/send-client.ts'
import { readServiceAccess } from '../../config.ts'
import { EVENT_TYPES } from '../../events/catalogue.ts'
import { type Command, CommandError, oneOf, parseOptions, type Terminal, UsageError, wholeNumber } from '../command.ts'
import { Progress } from '../progress.ts'
import { findInput } from '../sending/line-reader.ts'
import { type Outcome, sendInputs } from '../sending/sender.ts'
import { readAddress, readKey } from '../service-options.ts'

const HELP = `runify send: sends files of events to the Receiver

usage: runify send [OPTIONS] FILE...

FILE is NDJSON, one event a line, or that as gzip where its name ends in .gz; - is stdin. Runs and plays may be mixed.

  --type TYPE          ${EVENT_TYPES.join(' or ')}; when left out, each line's fields tell, then the file's name
  --to URL             the Receiver (RUNIFY_RECEIVER_URL, or http://127.0.0.1:8080)
  --key KEY            the API key, if the Receiver wants one
  --key-file FILE      where the key is read from, so that it is not in the list of processes
  --chunk N            lines a request, 1 to 10000 (1000)
  --concurrency N      requests at a time, 1 to 64 (2)
  --retry-seconds N    how long to try again while the Receiver is unavailable, 0 to 86400 (60)
  --no-event-ids       leave lines without an event_id as they are
  --quiet              no progress

A line without an event_id is given one that is made from its content. So a file can be sent again, after a crash or
by mistake, and everything in it is stored once; but two equal lines are then one event too. With --no-event-ids equal
lines are events of their own, requests go one at a time, and one whose fate is unknown is not sent again: the command
ends and says which line was the last that was acknowledged.

Exit codes: 0 all accepted · 1 some lines were rejected · 2 a wrong command line, or not everything could be sent
`

export const SEND: Command = { summary: 'send files of events to the Receiver', help: HELP, run: send }

async function send(args: string[], terminal: Terminal): Promise<number> {
  const { options, receiver, paths, quiet } = await readOptions(args)
  const inputs = await Promise.all(paths.map((path) => findInput(path, terminal.stdin)))
  const bytesTotal = inputs.reduce<number | undefined>(
    (sum, { bytes }) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
    0,
  )
  const now = () => performance.now()
  const startMs = now()
  const progress = new Progress(terminal.stderr, { quiet, bytesTotal, now })
  const interruption = new AbortController()
  const interrupt = () => interruption.abort()
  // The second Ctrl-C is Node's own and ends at once.
  process.once('SIGINT', interrupt)
  const deps = { client: new SendClient(receiver), progress, now, signal: interruption.signal }
  const outcome = await sendInputs(inputs, options, deps)
  process.off('SIGINT', interrupt)
  progress.end()
  writeSummary(terminal.stdout, {
    outcome,
    seconds: (now() - startMs) / 1000,
    inputNames: inputs.map(({ name }) => name),
  })
  if (outcome.failure !== undefined) throw new CommandError(outcome.failure)
  return outcome.rejections.count === 0 ? 0 : 1
}

async function readOptions(args: string[]) {
  const { values, positionals } = parseOptions(args, {
    type: { type: 'string' },
    to: { type: 'string' },
    key: { type: 'string' },
    'key-file': { type: 'string' },
    chunk: { type: 'string', default: '1000' },
    concurrency: { type: 'string', default: '2' },
    'retry-seconds': { type: 'string', default: '60' },
    'no-event-ids': { type: 'boolean', default: false },
    quiet: { type: 'boolean', short: 'q', default: false },
  })
  if (positionals.length === 0) throw new UsageError('name a file to send, or - for stdin')
  const eventIds = !values['no-event-ids']
  const options = {
    type: values.type === undefined ? undefined : oneOf('--type', values.type, EVENT_TYPES),
    chunkLines: wholeNumber('--chunk', values.chunk, { min: 1, max: 10_000 }),
    concurrency: wholeNumber('--concurrency', values.concurrency, { min: 1, max: 64 }),
    retryMs: 1000 * wholeNumber('--retry-seconds', values['retry-seconds'], { min: 0, max: 86_400 }),
    eventIds,
  }
  const key = await readKey({ key: values.key, keyFile: values['key-file'] })
  return {
    options,
    receiver: { to: readAddress('--to', values.to ?? readServiceAccess('receiver').url), key, keepAlive: eventIds },
    paths: positionals,
    quiet: values.quiet,
  }
}

type Summary = { outcome: Outcome; seconds: number; inputNames: string[] }

function writeSummary(stdout: NodeJS.WriteStream, { outcome, seconds, inputNames }: Summary): void {
  const { accepted, rejections } = outcome
  const rejected = String(rejections.count)
  stdout.write(`accepted  ${accepted}\n`)
  stdout.write(`rejected  ${rejections.count === 0 ? rejected : styleText('red', rejected, { stream: stdout })}\n`)
  stdout.write(`duration  ${seconds.toFixed(1)} s, ${Math.round(accepted / Math.max(seconds, 0.001))} events/s\n`)
  if (rejections.count > 0) stdout.write(`\n${rejections.rows(inputNames).join('\n')}\n`)
}
