import { randomUUID } from 'node:crypto'
import { type GeneratedEvent, type GeneratorOptions, generateEvents } from '../../../cli/generator/generator.ts'
import { Random } from '../../../cli/generator/random.ts'
import { type EpochMs, formatInstant, MS_PER_DAY, parseInstant } from '../../../events/instant.ts'
import { ANOMALY_TYPES, type AnomalyType } from '../anomaly.ts'

/**
 * Events as runners and players would send them, with anomalies planted among them: one for each runner, in turn of every
 * type. What is "unusual" for a runner is worked out here from the plain list of the runner's runs.
 */

export type Sent = Pick<GeneratedEvent, 'type' | 'fields' | 'sentAt'>
export type Plant = {
  type: AnomalyType
  /** The `event_id` of the event that is to be found. */
  event_id: string
  /** The planted event, and others that have to be there for it. */
  events: Sent[]
}

type Run = { begin: EpochMs; end: EpochMs; distance: number; duration: number; sentAt: EpochMs }
const HOUR_MS = 3_600_000
/** A seed that the generator has not. */
const PLANTS_STREAM = 0xffff_fffe
/** Before that there are not enough runs to say what is usual. */
const HISTORY_DAYS = 150

/** As many of each type, one for each runner at most: not every runner has a day for every type. */
export function plantAnomalies(options: GeneratorOptions, count: number): Plant[] {
  const plants: Plant[] = []
  for (const [index, [user_id, runs]] of [...runsByUser(options)].entries()) {
    if (plants.length === count) break
    const type = ANOMALY_TYPES[plants.length % ANOMALY_TYPES.length] as AnomalyType
    const events = PLANTERS[type]({ user_id, runs, random: new Random(options.seed, index, PLANTS_STREAM) })
    if (events !== undefined) plants.push({ type, event_id: events[0]?.fields.event_id as string, events })
  }
  return plants
}

/** Both in the order of sending. */
export function* withPlants(events: Iterable<Sent>, plants: readonly Plant[]): Generator<Sent> {
  const planted = plants.flatMap(({ events }) => events).sort((a, b) => a.sentAt - b.sentAt)
  let next = 0
  for (const event of events) {
    for (let one = planted[next]; one !== undefined && one.sentAt <= event.sentAt; one = planted[++next]) yield one
    yield event
  }
  yield* planted.slice(next)
}

function runsByUser(options: GeneratorOptions): Map<string, Run[]> {
  const runs = new Map<string, Run[]>()
  for (const { type, fields, sentAt } of generateEvents(options)) {
    if (type !== 'running_stats') continue
    const begin = parseInstant(fields.timestamp as string) as EpochMs
    const [duration, distance] = [fields.duration as number, fields.distance as number]
    const own = runs.get(fields.user_id as string) ?? []
    own.push({ begin, end: begin + duration * 1000, distance, duration, sentAt })
    runs.set(fields.user_id as string, own)
  }
  return runs
}

type Runner = { user_id: string; runs: readonly Run[]; random: Random }

/** The first event is the one to be found. */
const PLANTERS: Record<AnomalyType, (runner: Runner) => Sent[] | undefined> = {
  LongRun: (runner) => {
    const distance = runner.random.whole(42_001, 60_000)
    return plantRun(runner, { distance, duration: distance * 0.36 })
  },
  ShortRun: (runner) => {
    const duration = runner.random.whole(60, 299)
    return plantRun(runner, { distance: duration * 2.8, duration })
  },
  ImpossiblePace: (runner) => plantRun(runner, { distance: 5000, duration: runner.random.whole(301, 735) }),
  OverlappingRun: (runner) => {
    const { random, runs } = runner
    // Not one that comes late: the other would then be the one that is found.
    const others = runs.filter(({ end, duration, sentAt }) => duration > 1200 && sentAt < end + 60_000)
    const other = others[others.length >> 1]
    if (other === undefined) return undefined
    const begin = other.begin + Math.floor(random.between(0.1, 0.8) * other.duration) * 1000
    return [sentRun(runner.user_id, { begin, duration: other.duration, distance: other.distance })]
  },
  UnusualDistance: (runner) => {
    const free = freeDay(runner)
    if (free === undefined) return undefined
    const { low, high } = usualRange(runner, free, ({ distance }) => distance)
    const pace = medianOf(runner.runs.map(paceOf))
    // Below what LongRun finds, or above what ShortRun finds, where there is room.
    const distances = [high * 1.2, low / 1.2].filter((one) => one < 42_000 && (one / 1000) * pace >= 300)
    const distance = distances[0]
    return distance === undefined ? undefined : plantRun(runner, { distance, duration: (distance / 1000) * pace })
  },
  UnusualPace: (runner) => {
    const free = freeDay(runner)
    if (free === undefined) return undefined
    const { low, high } = usualRange(runner, free, paceOf)
    const distance = medianOf(runner.runs.map((run) => run.distance))
    const pace = low / 1.1 > 200 && runner.random.chance(0.5) ? low / 1.1 : high * 1.1
    return plantRun(runner, { distance, duration: (distance / 1000) * pace })
  },
  LongSong: (runner) => plantPlays(runner, [{ second: 0, song_duration: runner.random.whole(901, 3600) }]),
  ShortSong: (runner) => plantPlays(runner, [{ second: 0, song_duration: runner.random.whole(1, 29) }]),
  OverlappingSong: (runner) =>
    plantPlays(runner, [
      { second: 0, song_duration: 240 },
      { second: runner.random.whole(10, 200), song_duration: 180 },
    ]),
  FutureTimestamp: (runner) => misdated(runner, (begin) => begin + runner.random.whole(2, 3000) * MS_PER_DAY),
  AncientTimestamp: (runner) => misdated(runner, () => runner.random.whole(0, 3000) * MS_PER_DAY),
  EndlessRun: (runner) => plantRun(runner, { distance: 20_000, duration: runner.random.whole(8, 300) * 86_400 }),
  RateBurst: (runner) => {
    // A player that sends what it remembers of the day; the one with which there are too many comes first in the list.
    const plays = Array.from({ length: 310 }, (_, n) => ({ second: n * 120, song_duration: 110 }))
    const sent = plantPlays(runner, plays, -10 * HOUR_MS)?.map((play, n) => ({
      ...play,
      sentAt: play.sentAt + n * 150,
    }))
    return sent && [sent[300] as Sent, ...sent.slice(0, 300), ...sent.slice(301)]
  },
}

function plantRun(runner: Runner, run: Pick<Run, 'distance' | 'duration'>): Sent[] | undefined {
  const day = freeDay(runner)
  return day === undefined ? undefined : [sentRun(runner.user_id, { begin: day + 10 * HOUR_MS, ...run })]
}

/** By a clock that was never set, or far too far: as usual but for its time. */
function misdated(runner: Runner, toWrong: (begin: EpochMs) => EpochMs): Sent[] | undefined {
  const [sent] = plantRun(runner, { distance: 5000, duration: 1800 }) ?? []
  if (sent === undefined) return undefined
  const timestamp = formatInstant(toWrong(parseInstant(sent.fields.timestamp as string) as EpochMs))
  return [{ ...sent, fields: { ...sent.fields, timestamp } }]
}

function sentRun(user_id: string, { begin, distance, duration }: Pick<Run, 'begin' | 'distance' | 'duration'>): Sent {
  const fields = { user_id, distance, duration, timestamp: formatInstant(begin), event_id: `planted-${randomUUID()}` }
  return { type: 'running_stats', fields, sentAt: begin + Math.ceil(duration) * 1000 + 120_000 }
}

/** At noon of a day without a run, when nothing else is played; all sent at the end. */
function plantPlays(
  runner: Runner,
  plays: { second: number; song_duration: number }[],
  earlierMs = 0,
): Sent[] | undefined {
  const day = freeDay(runner)
  if (day === undefined) return undefined
  const noon = day + 12 * HOUR_MS + earlierMs
  const end = Math.max(...plays.map(({ second, song_duration }) => second + song_duration))
  return plays.map(({ second, song_duration }) => {
    const timestamp = formatInstant(noon + second * 1000)
    const song = { song_name: 'planted', artist: 'planted' }
    const fields = { user_id: runner.user_id, ...song, song_duration, timestamp, event_id: `planted-${randomUUID()}` }
    return { type: 'music_info', fields, sentAt: noon + end * 1000 + 500 }
  })
}

/** The beginning of a day on and around which the runner does not run, with a quarter of a year of runs before it. */
function freeDay({ runs }: Runner): EpochMs | undefined {
  const from = (runs[0] as Run).begin + HISTORY_DAYS * MS_PER_DAY
  for (let day = Math.ceil(from / MS_PER_DAY) * MS_PER_DAY; day < (runs.at(-1) as Run).begin; day += MS_PER_DAY) {
    const near = runs.some(({ begin }) => begin >= day - MS_PER_DAY && begin < day + 2 * MS_PER_DAY)
    const before = runs.filter(({ begin, sentAt }) => begin > day - 85 * MS_PER_DAY && sentAt < day)
    const late = runs.some(({ begin, sentAt }) => begin < day && sentAt >= day)
    if (!near && !late && before.length >= 12) return day
  }
  return undefined
}

/** What the rule calls usual, plainly: of the 90 days before ten o'clock of the day. */
function usualRange({ runs }: Runner, day: EpochMs, numberOf: (run: Run) => number) {
  const at = day + 10 * HOUR_MS
  const unique = new Map(runs.map((run) => [run.begin, run]))
  const before = [...unique.values()].filter(({ begin }) => begin < at && begin >= at - 90 * MS_PER_DAY)
  const logs = before.map((run) => Math.log(numberOf(run)))
  const middle = medianOf(logs)
  const spread = 1.4826 * medianOf(logs.map((log) => Math.abs(log - middle)))
  const room = 6 * Math.max(0.15, spread)
  return { low: Math.exp(middle - room), high: Math.exp(middle + room) }
}

function paceOf({ distance, duration }: Pick<Run, 'distance' | 'duration'>): number {
  return duration / (distance / 1000)
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2
}
