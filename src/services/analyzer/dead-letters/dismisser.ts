import { formatInstant } from '../../../events/instant.ts'
import type { EventLog } from '../../../log/event-log.ts'
import type { AnalyzerTelemetry } from '../telemetry.ts'
import { findLetters } from './find-letters.ts'
import { formatId, type Letter, originalText } from './letter.ts'
import { dismissalEntry, type RedriveLedger } from './redrive-ledger.ts'

export const DISMISSALS = ['dismissed', 'would_dismiss', 'already_dismissed', 'not_found'] as const
export type DismissalResult = { id: string; outcome: (typeof DISMISSALS)[number]; detail?: string }

export type DismisserDeps = { log: EventLog; ledger: RedriveLedger; telemetry: AnalyzerTelemetry }
type Options = { dryRun: boolean }

/**
 * Says of letters that nothing more is to be done about them. They stay where they are, and the ledger says so: to say it
 * twice, or from two Analyzers at a time, changes nothing.
 */
export class Dismisser {
  readonly #deps: DismisserDeps

  constructor(deps: DismisserDeps) {
    this.#deps = deps
  }

  async dismissIds(ids: readonly string[], options: Options): Promise<DismissalResult[]> {
    const found = await findLetters(this.#deps.log, ids)
    const results = new Map((await this.dismiss([...found.values()], options)).map((result) => [result.id, result]))
    return ids.map((id) => {
      const letter = found.get(id)
      const result = letter === undefined ? undefined : results.get(formatId(letter.at))
      return { ...(result ?? { outcome: 'not_found', detail: 'there is no such letter, or no longer' }), id }
    })
  }

  async dismiss(letters: readonly Letter[], { dryRun }: Options): Promise<DismissalResult[]> {
    const { log, ledger, telemetry } = this.#deps
    const known = await ledger.lookUp(letters)
    const open: Letter[] = []
    const results = letters.map((letter): DismissalResult => {
      const id = formatId(letter.at)
      const time = known(letter).dismissals.get(originalText(letter))
      if (time !== undefined) return { id, outcome: 'already_dismissed', detail: `on ${formatInstant(time)}` }
      open.push(letter)
      return { id, outcome: dryRun ? 'would_dismiss' : 'dismissed' }
    })
    if (!dryRun && open.length > 0) {
      await log.append(open.map(dismissalEntry))
      for (const letter of open) telemetry.letterDismissed({ id: formatId(letter.at), ...letter.original })
    }
    return results
  }
}
