import { onDestroy } from 'svelte'
import { toProblem } from './api.ts'
import { readEvents } from './event-stream.ts'
import { whileVisible } from './visible.ts'

/** Many events make one piece of news. */
const GATHER_MS = 400
const AGAIN_MS = 5000
const MISSING_AGAIN_MS = 60_000

const listeners = new Set<() => void>()
let listening: AbortController | undefined

/**
 * Tells, while a component is there, that events have come: by the Analyzer's stream of them, one for all components. A
 * browser has six connections to one address for all its tabs together, so a page that nobody sees lets go of its own.
 */
export function onNews(tell: () => void): void {
  listeners.add(tell)
  if (listening === undefined) {
    listening = new AbortController()
    void listen(listening.signal)
  }
  onDestroy(() => {
    listeners.delete(tell)
    if (listeners.size > 0) return
    listening?.abort()
    listening = undefined
  })
}

async function listen(signal: AbortSignal): Promise<void> {
  let due: ReturnType<typeof setTimeout> | undefined
  const announce = () => {
    due = undefined
    if (!signal.aborted) for (const tell of listeners) tell()
  }
  while (!signal.aborted) {
    let waitMs = AGAIN_MS
    try {
      await whileVisible(signal, async (visible) => {
        for await (const { data } of readEvents('/analyzer/tail', visible)) {
          if (data !== '') due ??= setTimeout(announce, GATHER_MS)
        }
      })
    } catch (error) {
      if (toProblem(error).isMissing) waitMs = MISSING_AGAIN_MS
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
  clearTimeout(due)
}
