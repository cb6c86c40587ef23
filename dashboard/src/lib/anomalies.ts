import { type AnswerOf, get } from './api.ts'

export type Anomaly = AnswerOf<'/anomaly/anomalies'>[number]
export type AnomalyType = Anomaly['anomaly_type']

/** How many of a user's are looked at: enough for the newest of each kind, unless one kind comes very often. */
const OF_USER_MAX = 500

/** The newest of each kind, the newest kind first, with how many there are. One question for each kind that there is. */
export async function latestAnomalies(signal: AbortSignal): Promise<{ anomaly: Anomaly; count: number }[]> {
  const { by_type } = await get('/anomaly/stats', {}, signal)
  const kinds = (Object.entries(by_type) as [AnomalyType, number][]).filter(([, count]) => count > 0)
  const pages = await Promise.all(
    kinds.map(([anomaly_type]) => get('/anomaly/anomalies', { anomaly_type, by: 'date_created', limit: 1 }, signal)),
  )
  return pages
    .flatMap((page, n) => page.slice(0, 1).map((anomaly) => ({ anomaly, count: kinds[n]?.[1] ?? 0 })))
    .sort((a, b) => (a.anomaly.date_created < b.anomaly.date_created ? 1 : -1))
}

/** The same of one user. */
export async function latestOfUser(
  userId: string,
  signal: AbortSignal,
): Promise<{ anomaly: Anomaly; count: number }[]> {
  const found = await get('/anomaly/anomalies', { user_id: userId, limit: OF_USER_MAX }, signal)
  const kinds = Map.groupBy(found, ({ anomaly_type }) => anomaly_type)
  return [...kinds.values()].map((of) => ({ anomaly: of[0] as Anomaly, count: of.length }))
}

/** `LongRun` → `Long run`. */
export function titleOf(type: string): string {
  const words = type.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export function isOfMusic(type: string): boolean {
  return /song|play|music/i.test(type)
}
