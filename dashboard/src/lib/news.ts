import { onDestroy } from 'svelte'
import { toProblem } from './api.ts'
import { readEvents } from './event-stream.ts'

/** Tells, while a component is there, that events have come: by the Analyzer's stream of them. Without it, nothing is told. */
export function onNews(tell: () => void): void {
  const stop = new AbortController()
  let due: ReturnType<typeof setTimeout> | undefined
  onDestroy(() => {
    stop.abort()
    clearTimeout(due)
  })
  void listen()

  async function listen(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        for await (const _ of readEvents('/analyzer/tail', stop.signal)) due ??= setTimeout(announce, GATHER_MS)
      } catch (error) {
        if (stop.signal.aborted || toProblem(error).isMissing) return
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
    }
  }

  function announce(): void {
    due = undefined
    if (!stop.signal.aborted) tell()
  }
}

/** Many events make one piece of news. */
const GATHER_MS = 400
const AGAIN_MS = 5000
