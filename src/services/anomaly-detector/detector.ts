import type { EventType, RunifyEvent } from '../../events/catalogue.ts'
import { type EpochMs, MS_PER_DAY } from '../../events/instant.ts'
import { type Anomaly, anomalyId } from './anomaly.ts'
import {
  BASELINE_DAYS,
  type Finding,
  type ImpossibilityRule,
  PLAY_IMPOSSIBILITIES,
  PLAY_RULES,
  RUN_IMPOSSIBILITIES,
  RUN_RULES,
  type Rule,
} from './rules/rules.ts'
import type { AnomalyThresholds } from './rules/settings.ts'
import {
  countArrival,
  decodeState,
  type EventForm,
  emptyState,
  encodeState,
  type KnownPlay,
  type KnownRun,
  knows,
  type MemoryBounds,
  PLAY_FORM,
  type Remembered,
  RUN_FORM,
  remember,
  type UserState,
} from './rules/user-state.ts'

/** The types of events that there are rules for. */
export const JUDGED_TYPES = ['running_stats', 'music_info'] as const satisfies readonly EventType[]
export type JudgedType = (typeof JUDGED_TYPES)[number]

/** An event of the log; `appendTime` is when the log took it. */
export type LoggedEvent<T extends JudgedType = JudgedType> = {
  offset: number
  appendTime: EpochMs
  event: RunifyEvent<T>
}

/** By user_id. */
export type EncodedStates = ReadonlyMap<string, Uint8Array>

/** An anomaly, and the record that showed it. */
export type FoundAnomaly = { offset: number; anomaly: Anomaly }

/** A record that cannot be judged, or of which what was found cannot be kept, and why. */
export type RefusedRecord = { offset: number; detail: string }

/** What comes of records; with `refused` ones among them it is worth nothing, and is to be made without those. */
export type Judgement = { found: FoundAnomaly[]; states: EncodedStates; refused: RefusedRecord[] }

/**
 * Judges events of one topic in the order of the log, each by what is known when it comes. `before` are the states of
 * their users before the first; gives what was found, each anomaly once, and the states after the last. A pure function:
 * records that are read again after a crash give the same.
 */
export function judgeEvents(
  type: JudgedType,
  events: readonly LoggedEvent[],
  context: { before: EncodedStates; thresholds: AnomalyThresholds },
): Judgement {
  if (type === 'running_stats') return judgeAll(RUNS, events as readonly LoggedEvent<typeof type>[], context)
  return judgeAll(PLAYS, events as readonly LoggedEvent<typeof type>[], context)
}

/** What is to be known of a type to judge its events. */
type Judging<T extends JudgedType, E extends Remembered> = {
  rules: readonly Rule<E>[]
  impossibilities: readonly ImpossibilityRule<E>[]
  form: EventForm<E>
  bounds: MemoryBounds
  toRemember: (event: RunifyEvent<T>) => E
}

const AGE_MS_MAX = BASELINE_DAYS * MS_PER_DAY

const RUNS: Judging<'running_stats', KnownRun> = {
  rules: RUN_RULES,
  impossibilities: RUN_IMPOSSIBILITIES,
  form: RUN_FORM,
  bounds: { eventsMax: 500, ageMsMax: AGE_MS_MAX },
  toRemember: ({ trace_id, fields: { timestamp, duration, distance } }) => {
    return { trace_id, timestamp, duration, distance }
  },
}

const PLAYS: Judging<'music_info', KnownPlay> = {
  rules: PLAY_RULES,
  impossibilities: PLAY_IMPOSSIBILITIES,
  form: PLAY_FORM,
  // More than come in disorder, and few enough to be written again with each batch.
  bounds: { eventsMax: 32, ageMsMax: AGE_MS_MAX },
  toRemember: ({ trace_id, fields: { timestamp, song_duration } }) => ({ trace_id, timestamp, song_duration }),
}

function judgeAll<T extends JudgedType, E extends Remembered>(
  judging: Judging<T, E>,
  events: readonly LoggedEvent<T>[],
  { before, thresholds }: { before: EncodedStates; thresholds: AnomalyThresholds },
): Judgement {
  const { form, toRemember } = judging
  const states = new Map<string, UserState<E>>()
  const found = new Map<string, FoundAnomaly>()
  const refused: RefusedRecord[] = []
  for (const { offset, appendTime, event } of events) {
    const { user_id } = event.fields
    let state = states.get(user_id)
    if (state === undefined) {
      const encoded = before.get(user_id)
      state = encoded === undefined ? emptyState<E>() : decodeState(encoded, form)
      states.set(user_id, state)
    }
    try {
      const { date_created } = event
      for (const finding of judgeOne(judging, state, toRemember(event), { appendTime, date_created, thresholds })) {
        const anomaly = toAnomaly(finding, { user_id, date_created })
        if (!found.has(anomaly.anomaly_id)) found.set(anomaly.anomaly_id, { offset, anomaly })
      }
    } catch (error) {
      // The rules are made for every event there is. Should one be wrong about that, the others go on.
      refused.push({ offset, detail: `it cannot be judged: ${(error as Error).message}` })
    }
  }
  const after = [...states].map(([user, state]) => [user, encodeState(state, form)] as const)
  return { found: [...found.values()], states: new Map(after), refused }
}

/**
 * Changes the state. A repeat, which Storage drops too, changes nothing and is nothing. What cannot be is held against
 * nothing and nothing against it: it says nothing of the user.
 */
function judgeOne<E extends Remembered>(
  { rules, impossibilities, bounds }: Pick<Judging<JudgedType, E>, 'rules' | 'impossibilities' | 'bounds'>,
  state: UserState<E>,
  event: E,
  context: { appendTime: EpochMs; date_created: EpochMs; thresholds: AnomalyThresholds },
): Finding[] {
  if (knows(state, event.trace_id)) return []
  const { appendTime, date_created, thresholds } = context
  const impossible = impossibilities.flatMap((rule) => rule(event, date_created, thresholds))
  const known = impossible.length > 0 ? [] : state.events
  const findings = [...impossible, ...rules.flatMap((rule) => rule(event, known, thresholds))]
  findings.push(...judgeRate(state, event, { appendTime, max: thresholds.eventsPerMinute }))
  if (impossible.length === 0) remember(state, event, { ...bounds, now: appendTime })
  return findings
}

/** One finding a burst: a thousand of them would say no more. Changes the state. */
function judgeRate(
  state: UserState<Remembered>,
  about: Remembered,
  { appendTime, max }: { appendTime: EpochMs; max: number },
): Finding[] {
  const value = countArrival(state, appendTime)
  if (state.inBurst) {
    state.inBurst = value > max / 2
    return []
  }
  if (value <= max) return []
  state.inBurst = true
  const description = `With this event one user has sent ${value} of its type within 60 s, more than ${max}.`
  return [{ anomaly_type: 'RateBurst', about, value, threshold: max, description }]
}

function toAnomaly(finding: Finding, { user_id, date_created }: { user_id: string; date_created: EpochMs }): Anomaly {
  const { anomaly_type, about, value, threshold, description } = finding
  const { trace_id, timestamp } = about
  if (!Number.isFinite(value) || !Number.isFinite(threshold)) {
    throw new RangeError(`${anomaly_type} has the value ${value} and the threshold ${threshold}`)
  }
  const anomaly_id = anomalyId(anomaly_type, trace_id)
  return { anomaly_id, anomaly_type, trace_id, user_id, description, value, threshold, timestamp, date_created }
}
