/**
 * Imports point one way: what a room of `src/` has, and what it may import beside itself. The flow is
 * events ← log, store ← services ← system ← main; the other rooms stand beside it as low as they can.
 *
 * `tests/import-law.test.ts` holds it, and compares the table of ARCHITECTURE.md, which `npm run architecture` writes.
 */
export type Room = { files: string; what: string; mayImport: readonly string[] }

export const ROOMS: Record<string, Room> = {
  errors: { files: '`src/errors.ts`', what: 'failures, and start errors that a person has to fix', mayImport: [] },
  events: {
    files: '`src/events`',
    what: "the catalogue of event types; checks, OpenAPI, the log's encoding and the columns derive from it",
    mayImport: [],
  },
  disk: {
    files: '`src/disk`',
    what: 'the data folder and its files: creating it, and what can go wrong with them',
    mayImport: ['errors'],
  },
  settings: {
    files: '`settings.ts` of a service',
    what: 'environment settings of this service alone; `config` reads them with the rest',
    mayImport: ['errors'],
  },
  config: {
    files: '`src/config.ts`, `src/addresses.ts`',
    what: 'the environment, read and validated once',
    mayImport: ['errors', 'settings'],
  },
  log: {
    files: '`src/log`',
    what: "the log's port, cursors, dead letters; its adapters in `embedded/` and `kafka/`",
    mayImport: ['disk', 'errors', 'events'],
  },
  store: {
    files: '`src/store`',
    what: "the store's port, queries, migrations; its adapters in `sqlite/` and `mysql/`",
    mayImport: ['disk', 'errors', 'events', 'log'],
  },
  telemetry: {
    files: '`src/telemetry.ts`',
    what: 'the log lines and metrics that all services share',
    mayImport: ['config', 'disk', 'events', 'log'],
  },
  http: {
    files: '`src/http`',
    what: 'the server set-up that all services share: parameters, bodies, keys, problems, health, metrics, API page',
    mayImport: ['config', 'errors', 'events', 'telemetry'],
  },
  clients: {
    files: '`src/clients`',
    what: 'how services call each other over HTTP, and how commands call services',
    mayImport: ['errors', 'events', 'log', 'store'],
  },
  services: {
    files: '`src/services/*`',
    what: 'one folder per service; services do not know each other',
    mayImport: ['clients', 'config', 'disk', 'errors', 'events', 'http', 'log', 'settings', 'store', 'telemetry'],
  },
  system: {
    files: '`src/system.ts`, `src/adapters.ts`, `src/service-thread.ts` …',
    what: 'what each service is given, and which thread it runs in',
    mayImport: ['clients', 'config', 'disk', 'errors', 'events', 'http', 'log', 'services', 'store', 'telemetry'],
  },
  main: {
    files: '`src/main.ts`',
    what: 'start, wait for a signal, shut down',
    mayImport: ['config', 'errors', 'system'],
  },
  backup: {
    files: '`src/backup`',
    what: 'backing up and restoring what the adapters keep',
    mayImport: ['config', 'disk', 'errors', 'events', 'log', 'services', 'store', 'system', 'telemetry'],
  },
  cli: {
    files: '`src/cli`',
    what: 'the `runify` command',
    mayImport: [
      ...['backup', 'clients', 'config', 'disk', 'errors', 'events', 'log', 'services', 'store', 'system'],
      'telemetry',
    ],
  },
}

const BEGIN = '<!-- npm run architecture -->\n'
const END = '<!-- end -->\n'

/** The text of ARCHITECTURE.md with the table as the law has it. */
export function withRooms(text: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (begin === -1 || end < begin) throw new Error(`there is no ${BEGIN.trim()} … ${END.trim()}`)
  return text.slice(0, begin + BEGIN.length) + table() + text.slice(end)
}

function table(): string {
  const rows = Object.entries(ROOMS).map(([name, { files, what, mayImport }]) => {
    const others = mayImport.map((other) => `\`${other}\``).join(', ')
    return `| \`${name}\` | ${files} | ${what} | ${others || 'nothing'} |\n`
  })
  return `\n| room | files | what is in it | may import |\n| --- | --- | --- | --- |\n${rows.join('')}\n`
}
