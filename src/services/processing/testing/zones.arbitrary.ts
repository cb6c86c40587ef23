import fc from 'fast-check'
import { MS_PER_DAY } from '../../../events/instant.ts'

/** Zones that are hard in one way or another: quarters of an hour, a day left out, clocks set back over midnight. */
export const HARD_ZONES = [
  'Asia/Kathmandu',
  'Asia/Kolkata',
  'Australia/Eucla',
  'Australia/Lord_Howe',
  'America/St_Johns',
  'America/Sao_Paulo',
  'America/New_York',
  'Europe/Berlin',
  'Pacific/Apia',
  'Pacific/Chatham',
  'Pacific/Kiritimati',
  'Africa/Monrovia',
]

export const anyZone = fc.oneof(
  fc.constantFrom(...HARD_ZONES),
  fc.constantFrom(...Intl.supportedValuesOf('timeZone')),
  fc.constant(undefined),
)

/** Around these clocks changed somewhere, a day was left out, or a week, month or year begins. */
const TURNS = [
  '2011-12-30T10:00:00Z',
  '2011-12-31T10:00:00Z',
  '2006-10-29T02:31:00Z',
  '2024-03-31T01:00:00Z',
  '2024-10-27T01:00:00Z',
  '2018-02-18T02:00:00Z',
  '1994-12-31T10:00:00Z',
  '2024-02-29T12:00:00Z',
  '1969-12-31T23:59:59.999Z',
  '2023-12-31T23:45:00Z',
  '1900-03-01T00:00:00Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999Z',
].map((text) => Date.parse(text))

/** Of the instants that an event can have. */
const [FIRST, LAST] = [Date.parse('0000-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')]

/** Instants that lie close together around those turns, so that days and streaks of several events come about. */
export const anyTurningInstant = fc
  .tuple(
    fc.constantFrom(...TURNS),
    fc.oneof(
      fc.integer({ min: -5, max: 5 }).map((quarters) => quarters * 900_000),
      fc.integer({ min: -3, max: 3 }).map((days) => days * MS_PER_DAY),
      fc.integer({ min: -4 * MS_PER_DAY, max: 4 * MS_PER_DAY }),
    ),
    fc.constantFrom(-1, 0, 1),
  )
  .map(([turn, away, more]) => Math.min(Math.max(turn + away + more, FIRST), LAST))
