/** Resolves when the page can be seen, or the signal has ended. */
export function seen(signal: AbortSignal): Promise<void> {
  if (document.visibilityState === 'visible' || signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    document.addEventListener('visibilitychange', () => resolve(), { once: true, signal })
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Runs `work` when the page can be seen, and ends it, by its signal, when it is hidden for a while. */
export async function whileVisible(signal: AbortSignal, work: (visible: AbortSignal) => Promise<void>): Promise<void> {
  await seen(signal)
  if (signal.aborted) return
  const hidden = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const watch = () => {
    clearTimeout(timer)
    if (document.visibilityState === 'hidden') timer = setTimeout(() => hidden.abort(), HIDDEN_MS_MAX)
  }
  document.addEventListener('visibilitychange', watch)
  try {
    await work(AbortSignal.any([signal, hidden.signal]))
  } catch (error) {
    if (!hidden.signal.aborted && !signal.aborted) throw error
  } finally {
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', watch)
  }
}

/** Whoever only looks something up elsewhere finds it as it was. */
const HIDDEN_MS_MAX = 2000
