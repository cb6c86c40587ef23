import { readServiceAccess } from '../../config.ts'
import { EVENT_TYPES } from '../../events/catalogue.ts'
import { DEAD_LETTER_REASONS } from '../../log/dead-letter.ts'
import { type Command, CommandError, oneOf, parseOptions, type Terminal, UsageError, wholeNumber } from '../command.ts'
import { askService, instantOption, pathAt, readAddress, readKey, readUser } from '../service-options.ts'

const HELP = `runify dead-letters: what could not be stored, to look at and to send again

usage: runify dead-letters list [OPTIONS]
       runify dead-letters redrive [OPTIONS] [ID...]
       runify dead-letters dismiss [OPTIONS] [ID...]

  --reason REASON    ${DEAD_LETTER_REASONS.join(', ')}
  --type TYPE        ${EVENT_TYPES.join(' or ')}
  --user ID          records of this user only
  --from TIME        dead since this time or later; an RFC 3339 date-time such as 2024-05-01T06:30:00Z
  --to TIME          dead since before this time
  --limit N          list: letters at most, newest first (100); redrive, dismiss: letters a request, 1 to 1000 (100)
  --analyzer URL     the Analyzer (RUNIFY_ANALYZER_URL, or http://127.0.0.1:8110)
  --key KEY          the API key, if the Analyzer wants one: of scope read to list (RUNIFY_READ_KEY), of scope
                     operate to redrive or dismiss
  --key-file FILE    where the key is read from, so that it is not in the list of processes

of redrive and dismiss:
  --all              all letters, if no other option chooses some and no ID is named
  --dry-run          only say what would be done

of redrive:
  --force            of IDs: also those that were begun and not finished
  --attempts-max N   from how many attempts on a content is left alone, 1 to 100 (3)

list writes a letter a line, as NDJSON. redrive writes what became of each, as NDJSON, and at the end how many had each
outcome. A letter is redriven at most once, however often it is asked for, so the command may be repeated. dismiss marks letters
with which nothing more is to be done, as those of reason conflict, and writes likewise; redrive leaves them alone from then on.

Exit codes: 0 done · 1 some letters were not redriven or dismissed · 2 a wrong command line, or it could not be done
`

export const DEAD_LETTERS: Command = {
  summary: 'list what could not be stored, send it again, or dismiss it',
  help: HELP,
  run: deadLetters,
}

type Access = { analyzer: URL; key: string | undefined }
/** Where an order goes. */
type Target = Access & { path: string }
type Filter = Record<string, string>
type Result = { id: string; outcome: string }
type Answer = { counts: Record<string, number>; results: Result[]; next: string | null }

/** Nothing is left to do for these. */
const GOOD = ['redriven', 'would_redrive', 'already_redriven', 'dismissed', 'would_dismiss', 'already_dismissed']
const PAGE_LETTERS = 200
const IDS_A_REQUEST = 1000

async function deadLetters(args: string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    reason: { type: 'string' },
    type: { type: 'string' },
    user: { type: 'string' },
    from: { type: 'string' },
    to: { type: 'string' },
    limit: { type: 'string', default: '100' },
    analyzer: { type: 'string' },
    key: { type: 'string' },
    'key-file': { type: 'string' },
    all: { type: 'boolean', default: false },
    'dry-run': { type: 'boolean', default: false },
    force: { type: 'boolean', default: false },
    'attempts-max': { type: 'string', default: '3' },
  })
  const [what, ...ids] = positionals
  if (what !== 'list' && what !== 'redrive' && what !== 'dismiss') {
    throw new UsageError('say what to do: list or redrive or dismiss')
  }
  const defaults = readServiceAccess('analyzer')
  const access: Access = {
    analyzer: readAddress('--analyzer', values.analyzer ?? defaults.url),
    // The defaults key is one that only reads.
    key: await readKey({
      key: values.key,
      keyFile: values['key-file'],
      fallback: what === 'list' ? defaults.key : undefined,
    }),
  }
  const filter: Filter = {
    ...(values.reason !== undefined && { reason: oneOf('--reason', values.reason, DEAD_LETTER_REASONS) }),
    ...(values.type !== undefined && { type: oneOf('--type', values.type, EVENT_TYPES) }),
    ...(values.user !== undefined && { user_id: readUser(values.user) }),
    ...(values.from !== undefined && { from: instantOption('--from', values.from) }),
    ...(values.to !== undefined && { to: instantOption('--to', values.to) }),
  }
  if (what === 'list') {
    if (ids.length > 0) throw new UsageError('list takes no ids')
    const limit = wholeNumber('--limit', values.limit, { min: 1, max: 1_000_000 })
    return list(access, { filter, limit }, terminal)
  }
  const limit = wholeNumber('--limit', values.limit, { min: 1, max: 1000 })
  const chosen = Object.keys(filter).length > 0
  if (ids.length > 0 && (chosen || values.all)) throw new UsageError('name ids, or choose letters by options, not both')
  if (ids.length === 0 && !chosen && !values.all)
    throw new UsageError('name ids, choose letters by options, or say --all')
  if (ids.length === 0 && values.force) throw new UsageError('--force is for ids')
  if (what === 'dismiss' && values.force) throw new UsageError('--force is for redrive')
  const attemptsMax = wholeNumber('--attempts-max', values['attempts-max'], { min: 1, max: 100 })
  const options = { dry_run: values['dry-run'], ...(what === 'redrive' && { attempts_max: attemptsMax }) }
  const to: Target = { ...access, path: `/dead-letters/${what}` }
  const answers =
    ids.length > 0
      ? byIds(to, ids, { ...options, ...(what === 'redrive' && { force: values.force }) })
      : byFilter(to, { ...options, filter, limit })
  return showResults(answers, terminal)
}

async function list(access: Access, { filter, limit }: { filter: Filter; limit: number }, terminal: Terminal) {
  const query = new URLSearchParams({ ...filter, limit: String(Math.min(limit, PAGE_LETTERS)) })
  let left = limit
  for (let path: string | undefined = `/dead-letters?${query}`; path !== undefined && left > 0; ) {
    const response: Response = await askService(pathAt(access.analyzer, path), { key: access.key })
    const letters = ((await response.json()) as unknown[]).slice(0, left)
    left -= letters.length
    for (const letter of letters) terminal.stdout.write(`${JSON.stringify(letter)}\n`)
    path = /^<(.*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
  }
  return 0
}

async function* byIds(to: Target, ids: readonly string[], options: object): AsyncGenerator<Answer> {
  for (let at = 0; at < ids.length; at += IDS_A_REQUEST) {
    yield await order(to, { ...options, ids: ids.slice(at, at + IDS_A_REQUEST) })
  }
}

async function* byFilter(to: Target, options: object): AsyncGenerator<Answer> {
  for (let cursor: string | null = ''; cursor !== null; ) {
    const answer: Answer = await order(to, { ...options, ...(cursor !== '' && { cursor }) })
    yield answer
    cursor = answer.next
  }
}

async function order({ analyzer, key, path }: Target, body: object): Promise<Answer> {
  const headers = { 'content-type': 'application/json' }
  const url = pathAt(analyzer, path)
  const response = await askService(url, { key, method: 'POST', headers, body: JSON.stringify(body) })
  return (await response.json()) as Answer
}

async function showResults(answers: AsyncIterable<Answer>, { stdout, stderr }: Terminal): Promise<number> {
  const total = new Map<string, number>()
  const told = () => [...total].map(([outcome, count]) => `${outcome.padEnd(18)} ${count}\n`).join('')
  try {
    for await (const { counts, results } of answers) {
      for (const result of results) stdout.write(`${JSON.stringify(result)}\n`)
      for (const [outcome, count] of Object.entries(counts)) total.set(outcome, (total.get(outcome) ?? 0) + count)
    }
  } catch (error) {
    stderr.write(told())
    throw error instanceof CommandError ? error : new CommandError((error as Error).message, { cause: error })
  }
  stderr.write(total.size === 0 ? 'there are no such letters\n' : told())
  return [...total.keys()].every((outcome) => GOOD.includes(outcome)) ? 0 : 1
}
