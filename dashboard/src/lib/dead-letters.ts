import type { AnswerOf } from './api.ts'
import type { Operations } from './operations.ts'

/** What the page says of dead letters. The compiler holds that there are words for all that the API can answer. */

export type Letter = AnswerOf<'/analyzer/dead-letters'>[number]
type Order = 'redrive' | 'dismiss'
export type Outcome = Operations[`POST /analyzer/dead-letters/${Order}`]['answer']['results'][number]

export const REASONS: Record<Letter['reason'], string> = {
  undecodable: 'Not an event',
  conflict: 'Same id, other content',
  unstorable: 'The database refused it',
  unjudged: 'Stored, not judged for anomalies',
  uncounted: 'Stored, not in the statistics',
}

/** Of what is never sent again: why, and what to do instead. */
export const NEVER: Partial<Record<Letter['reason'], string>> = {
  conflict:
    'Never sent again: the store has this id with another content and would refuse it again. Mend the client, and send the event with an event_id of its own.',
  uncounted:
    'Never sent again: the event is stored, and would not be counted for being sent again. Mend what is said above, then run npx runify rebuild statistics, and dismiss this.',
}

export const OUTCOMES: Record<Outcome['outcome'], string> = {
  redriven: 'Sent again',
  would_redrive: 'Would be sent again',
  already_redriven: 'Was sent again before',
  unfinished: 'Another attempt is not finished',
  undecodable: 'Nobody can read it',
  conflict: 'Its id has another content',
  uncounted: 'Is stored, and would not be counted',
  forgotten: 'Its runner was forgotten',
  attempts_exhausted: 'Was tried too often',
  not_found: 'Is no longer there',
  dismissed: 'Dismissed',
  would_dismiss: 'Would be dismissed',
  already_dismissed: 'Was dismissed before',
}
