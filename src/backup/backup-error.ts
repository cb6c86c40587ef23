/** Why there is no backup, or no restore, in one line for the one who asked for it. Then nothing was changed. */
export class BackupError extends Error {
  override name = 'BackupError'
}
