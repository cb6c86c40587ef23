/** From where on an event is an anomaly. */
export type AnomalyThresholds = {
  /** A longer run is a LongRun. */
  longRunMetres: number
  /** A run that takes less is a ShortRun. */
  shortRunSeconds: number
  /** A longer play is a LongSong. */
  longSongSeconds: number
  /** A shorter play is a ShortSong. */
  shortSongSeconds: number
  /** By how much two runs of one runner may overlap. */
  runOverlapSeconds: number
  /** How long a song may go on after the next one began: players fade one into the other. */
  songOverlapSeconds: number
  /** How many events of one type a user may send within 60 s. */
  eventsPerMinute: number
  /** How many robust standard deviations a runner's own runs may be from the median. */
  baselineDeviations: number
  /** By how much an event may say to have begun after it was received: clocks are not all right. */
  futureSeconds: number
  /** An event that says to have begun in an earlier year is an AncientTimestamp. */
  firstYear: number
  /** A run that takes more is an EndlessRun. */
  endlessRunSeconds: number
}

type ReadNumber = (name: string, fallback: number, min: number, max: number) => number

export function readAnomalyThresholds(number: ReadNumber): AnomalyThresholds {
  return {
    longRunMetres: number('ANOMALY_LONG_RUN_METRES', 42_000, 1, 10_000_000),
    shortRunSeconds: number('ANOMALY_SHORT_RUN_SECONDS', 300, 0, 31_536_000),
    longSongSeconds: number('ANOMALY_LONG_SONG_SECONDS', 900, 1, 86_400),
    shortSongSeconds: number('ANOMALY_SHORT_SONG_SECONDS', 30, 0, 86_400),
    runOverlapSeconds: number('ANOMALY_RUN_OVERLAP_SECONDS', 60, 0, 86_400),
    songOverlapSeconds: number('ANOMALY_SONG_OVERLAP_SECONDS', 15, 0, 86_400),
    eventsPerMinute: number('ANOMALY_EVENTS_PER_MINUTE', 300, 1, 1_000_000),
    baselineDeviations: number('ANOMALY_BASELINE_DEVIATIONS', 6, 2, 100),
    futureSeconds: number('ANOMALY_FUTURE_SECONDS', 86_400, 0, 31_536_000),
    firstYear: number('ANOMALY_FIRST_YEAR', 1980, 0, 9999),
    endlessRunSeconds: number('ANOMALY_ENDLESS_RUN_SECONDS', 604_800, 1, 31_536_000),
  }
}
