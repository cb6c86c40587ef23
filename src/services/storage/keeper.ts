import type { Keeper } from '../../log/place-in-log.ts'

/** What brings a store and a log together that do not belong to each other. */
export const STORE: Keeper = {
  name: 'the store',
  remedy:
    'put back the log that belongs to it, or run `npx runify rebuild store`, which empties the store and fills it from this ' +
    'log (`npx runify export` saves what only the store has)',
}
