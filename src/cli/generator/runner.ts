import { type EpochMs, MS_PER_DAY } from '../../events/instant.ts'
import { Random } from './random.ts'

/** Somebody's habits. They hold for ever; what a day brings is drawn from them. */
export type Runner = {
  index: number
  user_id: string
  /** How likely a run is, Monday first. */
  runChances: readonly number[]
  /** The day of the long run, Monday = 0. */
  longRunWeekday: number
  /** When runs begin, minutes after midnight UTC, and how much that varies. */
  startMinute: number
  startMinuteSpread: number
  /** Metres of an ordinary run. */
  typicalDistance: number
  /** Seconds a kilometre at the end of 2024, and the share by which that falls each year. */
  pace: number
  paceGain: number
  /** One week in so many brings no runs. */
  restWeekEvery: number
  restWeekPhase: number
  musicOnRunChance: number
  listeningChance: number
  /** Where in the catalogue the own favourites begin. */
  taste: number
}

/** A runner is the same for the same seed and index, whoever else there is. */
export function createRunner(seed: number, index: number): Runner {
  const random = new Random(seed, index, HABITS_STREAM)
  const runsAWeek = random.whole(2, 5)
  const startMinute = random.pick(START_MINUTES) + random.between(-40, 40)
  return {
    index,
    user_id: uuid(random),
    runChances: createRunChances(random, runsAWeek),
    longRunWeekday: random.whole(5, 6),
    startMinute,
    startMinuteSpread: random.between(6, 24),
    typicalDistance: random.between(4000, 8000) + 500 * runsAWeek,
    pace: random.between(285, 430),
    paceGain: random.between(0.01, 0.045),
    restWeekEvery: random.whole(5, 9),
    restWeekPhase: random.whole(0, 8),
    musicOnRunChance: random.chance(0.2) ? 0 : random.between(0.4, 1),
    listeningChance: random.between(0.05, 0.5),
    taste: random.whole(0, 0xffff),
  }
}

export type PlannedRun = {
  begin: EpochMs
  /** Whole seconds. */
  duration: number
  /** Metres to the centimetre. */
  distance: number
}

/** The run of a day (days since 1970-01-01), if there is one. It begins on that UTC day. */
export function planRun(runner: Runner, day: number, random: Random): PlannedRun | undefined {
  if (isRestWeek(runner, day)) return undefined
  const weekday = weekdayOf(day)
  const isLong = weekday === runner.longRunWeekday
  if (!random.chance(isLong ? LONG_RUN_CHANCE : (runner.runChances[weekday] as number))) return undefined
  const pace = paceOn(runner, day, random)
  const distance = isLong ? longDistance(runner, random) : runner.typicalDistance * (1 + 0.18 * random.bell())
  // A run on which something went wrong ends after a few minutes.
  const metres = random.chance(BROKEN_OFF_CHANCE) ? random.between(150, 600) : Math.max(1500, distance)
  const minute = isLong ? LONG_RUN_MINUTE : runner.startMinute
  const begin = day * MS_PER_DAY + Math.floor((minute + runner.startMinuteSpread * random.bell()) * 60_000)
  return { begin, duration: Math.round((metres / 1000) * pace), distance: Math.round(metres * 100) / 100 }
}

/** Monday = 0. */
export function weekdayOf(day: number): number {
  return (day + 3) % 7
}

/** A seed that no day has. */
const HABITS_STREAM = 0xffff_ffff
/** Early, before work, at lunch, after work, in the evening: all far enough from midnight to stay on their day. */
const START_MINUTES = [5.5 * 60, 6.5 * 60, 12.2 * 60, 17.5 * 60, 19 * 60]
const LONG_RUN_MINUTE = 8.5 * 60
const LONG_RUN_CHANCE = 0.8
const MARATHON_CHANCE = 0.012
const MARATHON_METRES = 42_195
const BROKEN_OFF_CHANCE = 0.004
/** 4:30 and 7:30 min/km. */
const PACE_MIN = 270
const PACE_MAX = 450
/** 2024-12-31, the day that `Runner.pace` is for. */
const PACE_DAY = 20_088

function createRunChances(random: Random, runsAWeek: number): number[] {
  const chances = Array.from({ length: 7 }, () => random.between(0, 0.06))
  for (let run = 0; run < runsAWeek; run++) chances[random.whole(0, 6)] = random.between(0.7, 0.95)
  return chances
}

function isRestWeek(runner: Runner, day: number): boolean {
  return (Math.floor((day + 3) / 7) + runner.restWeekPhase) % runner.restWeekEvery === 0
}

/** Follows from the date alone, not from where a file begins, so that overlapping files agree. */
function paceOn(runner: Runner, day: number, random: Random): number {
  const years = (day - PACE_DAY) / 365
  const pace = runner.pace * (1 - runner.paceGain * years) * (1 + 0.03 * random.bell())
  return Math.min(PACE_MAX, Math.max(PACE_MIN, pace))
}

function longDistance(runner: Runner, random: Random): number {
  if (random.chance(MARATHON_CHANCE)) return MARATHON_METRES + random.between(0, 400)
  return Math.min(35_000, runner.typicalDistance * random.between(1.6, 2.3))
}

/** Looks like a version 4 UUID (RFC 9562). */
function uuid(random: Random): string {
  let hex = ''
  for (let word = 0; word < 4; word++) hex += random.whole(0, 0xffff_ffff).toString(16).padStart(8, '0')
  const variant = '89ab'[random.whole(0, 3)]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
