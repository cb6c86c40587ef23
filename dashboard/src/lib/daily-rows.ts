import { get } from './api.ts'
import type { DayRow } from './calendar-days.ts'
import { ZONE } from './format.ts'

/** Processing's days in the viewer's zone: a year is one answer of at most 366 rows, however many events. */
export async function dailyRows(
  { from, to, userId }: { from: string; to: string; userId?: string },
  signal: AbortSignal,
): Promise<DayRow[]> {
  const rows = await get('/processing/stats/daily', { from, to, user_id: userId, time_zone: ZONE }, signal)
  return rows.map((row) => ({
    day: row.day,
    runs: row.num_running_stats,
    distance: row.total_distance,
    duration: row.total_run_duration,
    plays: row.num_music_info,
    listening: row.total_song_duration,
  }))
}
