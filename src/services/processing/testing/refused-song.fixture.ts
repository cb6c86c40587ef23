import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** A song whose plays the database of the statistics takes no more, as by a constraint that somebody has added to it. */
export const REFUSED_SONG = 'refused'

export function refuseSongInSqlite(dir: string): void {
  using database = new DatabaseSync(join(dir, 'statistics.db'), { timeout: 5000 })
  database.exec(`CREATE TRIGGER refuse_song BEFORE INSERT ON play_names WHEN NEW.song_name = '${REFUSED_SONG}'
    BEGIN SELECT RAISE(ABORT, 'not this song'); END`)
}

export const REFUSE_SONG_IN_MYSQL = `ALTER TABLE play_names ADD CONSTRAINT refuse_song CHECK (song_name <> '${REFUSED_SONG}')`
