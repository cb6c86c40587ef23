import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'

/** What became of the samples of one sampler. */
export type SamplerResult = {
  samples: number
  failed: number
  /** Samples that were answered with 2xx and passed; 0 means that the sampler has shown nothing. */
  good: number
  /** What went wrong, and how often, in the order in which it came; what differs from the first ones is counted as one. */
  failures: Map<string, number>
}

const FAILURES_MAX = 5
const OTHERS = 'others'
const NO_ANSWER = 'Non HTTP response code: '

/** The names of all samplers of a plan. */
export async function readSamplers(plan: string): Promise<string[]> {
  const text = await readFile(plan, 'utf8')
  return [...text.matchAll(/<HTTPSamplerProxy\b[^>]*\btestname="([^"]*)"/g)].map(([, name]) => name as string)
}

/** Reads the CSV that JMeter has written, sampler by sampler: those in `samplers`, and what else may be in there. */
export async function readResults(path: string, samplers: readonly string[]): Promise<Map<string, SamplerResult>> {
  const none = (): SamplerResult => ({ samples: 0, failed: 0, good: 0, failures: new Map() })
  const results = new Map(samplers.map((name) => [name, none()]))
  let header: string[] | undefined
  for await (const row of readCsv(path)) {
    header ??= row
    if (row === header) continue
    const value = (name: string) => row[(header as string[]).indexOf(name)] ?? ''
    const result = results.get(value('label')) ?? none()
    results.set(value('label'), result)
    result.samples++
    if (value('success') === 'true') {
      if (/^2\d\d$/.test(value('responseCode'))) result.good++
      continue
    }
    result.failed++
    const failure = describe(value('failureMessage'), value('responseCode'), value('responseMessage'))
    const known = result.failures.has(failure) || result.failures.size < FAILURES_MAX ? failure : OTHERS
    result.failures.set(known, (result.failures.get(known) ?? 0) + 1)
  }
  return results
}

/** The assertion that failed, and what was answered: a status, or why there was no answer. */
function describe(assertion: string, code: string, message: string): string {
  const answer = code.startsWith(NO_ANSWER) ? message.replace('Non HTTP response message: ', '') : `answered ${code}`
  return `${assertion.replaceAll(/\s+/g, ' ') || 'status is 2xx'} (${answer})`
}

/** Rows of a CSV file of any size (RFC 4180): values may be quoted, with line breaks in them. */
async function* readCsv(path: string): AsyncGenerator<string[]> {
  let row: string[] = []
  let value = ''
  let quoted = false
  /** Behind the quote that ended a value; where another one follows, both are one in the value. */
  let ended = false
  for await (const chunk of createReadStream(path, 'utf8')) {
    for (const character of chunk as string) {
      if (character === '"') {
        if (ended) value += '"'
        ended = quoted
        quoted = !quoted
      } else if (quoted) value += character
      else if (character === ',' || character === '\n') {
        row.push(value)
        value = ''
        ended = false
        if (character === ',') continue
        yield row
        row = []
      } else if (character !== '\r') value += character
    }
  }
  if (row.length > 0) yield [...row, value]
}
