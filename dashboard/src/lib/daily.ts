import { getAt, toAddress } from './api.ts'
import type { DayRow } from './days.ts'
import { ZONE } from './format.ts'

/** `GET /stats/daily` of Processing, in the viewer's days; a year is one answer of at most 366 rows, however many events. */
export async function dailyRows(
  { from, to, userId }: { from: string; to: string; userId?: string },
  signal: AbortSignal,
): Promise<DayRow[]> {
  const address = toAddress('/processing/stats/daily', { from, to, user_id: userId, time_zone: ZONE })
  const { answer } = await getAt<unknown>(address, signal)
  const rows = (Array.isArray(answer) ? answer : ((answer as { days?: unknown[] }).days ?? [])) as Record<
    string,
    never
  >[]
  return rows.map((row) => ({
    day: row.day ?? '',
    runs: row.num_running_stats ?? 0,
    distance: row.total_distance ?? 0,
    duration: row.total_run_duration ?? 0,
    plays: row.num_music_info ?? 0,
    listening: row.total_song_duration ?? 0,
  }))
}
