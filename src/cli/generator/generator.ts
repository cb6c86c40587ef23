import type { EventType } from '../../events/catalogue.ts'
import { type EpochMs, formatInstant, MS_PER_DAY, MS_PER_HOUR, parseDay } from '../../events/instant.ts'
import { Random } from './random.ts'
import { createRunner, type PlannedRun, planRun, type Runner } from './runner.ts'
import { createSongs, type Song } from './song-catalogue.ts'

export type GeneratorOptions = {
  /** 1 or more. */
  users: number
  /** 1 or more; the last of them is `until`. */
  days: number
  /** 0…4,294,967,295. */
  seed: number
  /** The last day, `YYYY-MM-DD` in UTC; `DEFAULT_UNTIL` when left out. */
  until?: string
}

/** An event as a client sends it; `JSON.stringify(event.fields)` is its line. Repeated events share their object. */
/** The types that it makes. */
export const GENERATED_TYPES = ['running_stats', 'music_info'] as const satisfies readonly EventType[]

export type GeneratedEvent = {
  type: (typeof GENERATED_TYPES)[number]
  fields: Readonly<Record<string, string | number>>
  /** When its client would send it. */
  sentAt: EpochMs
}

/** Not today: the same seed is the same events on every day. */
export const DEFAULT_UNTIL = '2024-12-31'

/**
 * What runners and their players would send, in the order they would send it. The same options give the same events,
 * and each day of each runner follows from seed, runner and date alone: a longer range, or more runners, holds the
 * same events and more, with the same event ids. Memory holds the runners and a few days of events.
 *
 * An event goes out when its run or song ends. Some runs are on a phone that is offline until hours or days later,
 * with the songs in them; now and then an answer gets lost and the same event is sent again.
 *
 * @throws RangeError where the days are not between 1970-01-01 and 9999-12-31
 */
export function* generateEvents({
  users,
  days,
  seed,
  until = DEFAULT_UNTIL,
}: GeneratorOptions): Generator<GeneratedEvent> {
  const lastDay = parseDay(until)
  if (lastDay === undefined) throw new RangeError(`${JSON.stringify(until)} is not a day like ${DEFAULT_UNTIL}`)
  if (lastDay - days + 1 < 0) throw new RangeError(`${days} days until ${until} begin before 1970`)
  const songs = createSongs(seed)
  const runners = Array.from({ length: users }, (_, index) => createRunner(seed, index))
  let waiting: GeneratedEvent[] = []
  for (let day = lastDay - days + 1; day <= lastDay; day++) {
    for (const runner of runners) new RunnerDay(runner, day, { seed, songs }).addTo(waiting)
    waiting.sort(bySentAt)
    // Whatever later days bring is sent on those days at the earliest.
    const dayEnd = (day + 1) * MS_PER_DAY
    const split = waiting.findIndex(({ sentAt }) => sentAt >= dayEnd)
    const due = split === -1 ? waiting : waiting.slice(0, split)
    waiting = split === -1 ? [] : waiting.slice(split)
    yield* due
  }
  yield* waiting
}

const BROKEN_PHONE_CHANCE = 0.03
const LATE_HOURS_MAX = 60
const REPEATED_CHANCE = 0.005
const SKIPPED_CHANCE = 0.06
/** Of what a player holds in its memory, a song goes out each so many milliseconds once it is online again. */
const CATCH_UP_STEP_MS = 40

function bySentAt(a: GeneratedEvent, b: GeneratedEvent): number {
  return a.sentAt - b.sentAt
}

/** One day of one runner. */
class RunnerDay {
  readonly #runner: Runner
  readonly #day: number
  readonly #random: Random
  readonly #songs: readonly Song[]
  /** Names the runner and the day, so that an event's id is its own. */
  readonly #idEnd: string
  #plays = 0

  constructor(runner: Runner, day: number, { seed, songs }: { seed: number; songs: readonly Song[] }) {
    this.#runner = runner
    this.#day = day
    this.#random = new Random(seed, runner.index, day)
    this.#songs = songs
    this.#idEnd = `${seed}-${runner.index}-${day}`
  }

  addTo(events: GeneratedEvent[]): void {
    const run = planRun(this.#runner, this.#day, this.#random)
    if (run !== undefined) this.#addRun(events, run)
    if (!this.#random.chance(this.#runner.listeningChance)) return
    // In the evening, and clear of midnight.
    const begin = this.#day * MS_PER_DAY + Math.floor(this.#random.between(20.2, 22) * MS_PER_HOUR)
    const stillRunning = run !== undefined && run.begin + run.duration * 1000 > begin
    if (!stillRunning) this.#addPlays(events, { begin, end: begin + this.#random.whole(8, 65) * 60_000 })
  }

  #addRun(events: GeneratedEvent[], { begin, duration, distance }: PlannedRun): void {
    const random = this.#random
    const end = begin + duration * 1000
    const onlineAt = random.chance(BROKEN_PHONE_CHANCE)
      ? end + Math.floor(random.between(1, LATE_HOURS_MAX) * MS_PER_HOUR)
      : 0
    if (random.chance(this.#runner.musicOnRunChance)) {
      this.#addPlays(events, { begin: begin + random.whole(500, 60_000), end, onlineAt })
    }
    const fields = {
      user_id: this.#runner.user_id,
      duration,
      distance,
      timestamp: formatInstant(begin),
      event_id: `run-${this.#idEnd}`,
    }
    this.#add(events, { type: 'running_stats', fields, sentAt: Math.max(end, onlineAt) + random.whole(300, 9000) })
  }

  /** Songs one after the other, until the last one begun is over or stopped at the end. */
  #addPlays(
    events: GeneratedEvent[],
    { begin, end, onlineAt = 0 }: { begin: EpochMs; end: EpochMs; onlineAt?: EpochMs },
  ) {
    const random = this.#random
    let at = begin
    let caughtUpAt = onlineAt
    while (at < end) {
      const { song_name, artist, lengthSeconds } = this.#pickSong()
      const listened = random.chance(SKIPPED_CHANCE)
        ? Math.ceil(lengthSeconds * random.between(0.1, 0.7))
        : lengthSeconds
      const song_duration = Math.min(listened, Math.ceil((end - at) / 1000))
      const fields = {
        user_id: this.#runner.user_id,
        song_name,
        artist,
        song_duration,
        timestamp: formatInstant(at),
        event_id: `play-${this.#idEnd}-${++this.#plays}`,
      }
      const over = at + song_duration * 1000
      caughtUpAt += CATCH_UP_STEP_MS
      this.#add(events, { type: 'music_info', fields, sentAt: Math.max(over, caughtUpAt) + random.whole(50, 900) })
      at = over + random.whole(200, 2500)
    }
  }

  #add(events: GeneratedEvent[], event: GeneratedEvent): void {
    events.push(event)
    if (!this.#random.chance(REPEATED_CHANCE)) return
    events.push({ ...event, sentAt: event.sentAt + this.#random.whole(2000, 90_000) })
  }

  /** Half of it are hits that everybody knows, half are the runner's own favourites; few songs come often. */
  #pickSong(): Song {
    const random = this.#random
    const { length } = this.#songs
    const rank = Math.floor(length * random.uniform() * random.uniform() * random.uniform())
    return this.#songs[random.chance(0.5) ? rank : (this.#runner.taste + rank) % length] as Song
  }
}
