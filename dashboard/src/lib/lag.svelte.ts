import type { AnswerOf } from './api.ts'

/** How far each group was behind, as long as this page is open: samples of some minutes, the oldest forgotten. */

export type LagSample = { at: number; lags: Record<string, number> }
const SAMPLES_MAX = 450

let samples = $state.raw<LagSample[]>([])

export const lagHistory = {
  get samples() {
    return samples
  },
  add(stats: AnswerOf<'/analyzer/stats'>, at: number): void {
    const lags: Record<string, number> = {}
    for (const { groups = [] } of stats.topics) {
      for (const { group = '', lag = 0 } of groups) lags[group] = (lags[group] ?? 0) + lag
    }
    samples = [...samples.slice(1 - SAMPLES_MAX), { at, lags }]
  },
}
