import { readStorageAccess } from '../../config.ts'
import { CATALOGUE, EVENT_TYPES } from '../../events/catalogue.ts'
import { type Command, parseOptions, type Terminal, UsageError } from '../command.ts'
import { askService, pathAt, readAddress, readKey, readUser } from '../service-options.ts'

const HELP = `runify forget: erases what is stored of a user, for good

usage: runify forget --user ID [OPTIONS]

  --user ID          whom to forget: a UUID
  --storage URL      Storage (RUNIFY_STORAGE_URL, or http://127.0.0.1:8090)
  --key KEY          an API key of scope operate, if Storage wants one
  --key-file FILE    where the key is read from, so that it is not in the list of processes
  --json             the answer as Storage gives it

Erases all events of the user that were received up to now from the store, and with them from the statistics. A tombstone in the
log sees to it that they do not come back when the store is filled from the log anew. What the log itself still holds of
them stays there until its retention removes it, which the summary tells. Events that are received later are stored again.

Exit codes: 0 forgotten · 2 a wrong command line, or it could not be done: say it again, nothing is erased twice
`

export const FORGET: Command = { summary: 'erase what is stored of a user, for good', help: HELP, run: forget }

type InLog = {
  topic: string
  partition: number
  events: number
  first: string
  last: string
  kept_until: string | null
}
type Answer = { user_id: string; forgotten_at: string; erased: Record<string, number>; in_log: InLog[] }

async function forget(args: string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseOptions(args, {
    user: { type: 'string' },
    storage: { type: 'string' },
    key: { type: 'string' },
    'key-file': { type: 'string' },
    json: { type: 'boolean', default: false },
  })
  if (values.user === undefined || positionals.length > 0) throw new UsageError('say whom to forget: --user ID')
  const url = pathAt(
    readAddress('--storage', values.storage ?? readStorageAccess().url),
    `/users/${readUser(values.user)}`,
  )
  const key = await readKey({ key: values.key, keyFile: values['key-file'] })
  const answer = (await (await askService(url, { method: 'DELETE', key })).json()) as Answer
  terminal.stdout.write(values.json ? `${JSON.stringify(answer)}\n` : summaryOf(answer))
  return 0
}

function summaryOf({ erased, forgotten_at, in_log }: Answer): string {
  const counts = EVENT_TYPES.filter((type) => CATALOGUE[type].countName in erased).map((type) => {
    return `${erased[CATALOGUE[type].countName]} ${CATALOGUE[type].plural.toLowerCase()}`
  })
  const lines = [`erased    ${counts.join(', ')}, all that was received up to ${forgotten_at}`]
  for (const { topic, partition, events, first, last, kept_until } of in_log) {
    const until = kept_until === null ? 'with no retention that would remove them' : `until ${kept_until}`
    lines.push(`in log    ${events} in ${topic}:${partition}, received ${first} to ${last}, ${until}`)
  }
  if (in_log.length === 0) lines.push('in log    nothing of what was stored')
  return `${lines.join('\n')}\n`
}
