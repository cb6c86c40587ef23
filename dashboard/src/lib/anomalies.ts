/** What the anomaly detector answers, as the contract has it. */

export type Anomaly = {
  anomaly_id: string
  anomaly_type: string
  trace_id: string
  user_id: string
  description: string
  value: number
  threshold: number
  timestamp: string
  date_created: string
}

export const ANOMALIES = '/anomaly/anomalies'

/** The newest of each kind, the newest kind first. They come newest first. */
export function latestOfEach(anomalies: readonly Anomaly[]): Anomaly[] {
  const seen = new Map<string, Anomaly>()
  for (const one of anomalies) if (!seen.has(one.anomaly_type)) seen.set(one.anomaly_type, one)
  return [...seen.values()]
}

/** `LongRun` → `Long run`. */
export function titleOf(type: string): string {
  const words = type.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export function isOfMusic(type: string): boolean {
  return /song|play|music/i.test(type)
}
