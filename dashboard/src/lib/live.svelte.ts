import { type Problem, toProblem } from './api.ts'
import { seen } from './visible.ts'

/** What is asked again and again. Of the last good answer nothing is lost while a service is unavailable. */
export type Live<T> = {
  readonly data: T | undefined
  readonly problem: Problem | undefined
  /** When it was last answered, epoch milliseconds. */
  readonly at: number | undefined
  /** Asks at once. */
  refresh: () => void
}

export type LiveOptions<T> = {
  /** What the question depends on; with another one, the old answer is of no use. */
  of?: () => string
  ask: (signal: AbortSignal) => Promise<T>
  /** 0: once, and again only after a failure. */
  everyMs: number
}

const AGAIN_MS = 2000

/** To be called while a component is set up; ends with it. A page that nobody sees asks nothing. */
export function live<T>({ of = () => '', ask, everyMs }: LiveOptions<T>): Live<T> {
  let data = $state.raw<T>()
  let problem = $state.raw<Problem>()
  let at = $state<number>()
  let wake = () => {}
  let known: string | undefined

  $effect(() => {
    const key = of()
    if (known !== key) {
      known = key
      data = undefined
      problem = undefined
      at = undefined
    }
    const stop = new AbortController()
    void run(stop.signal)
    return () => stop.abort()
  })
  return {
    get data() {
      return data
    },
    get problem() {
      return problem
    },
    get at() {
      return at
    },
    refresh: () => wake(),
  }

  async function run(signal: AbortSignal): Promise<void> {
    // The effect must not depend on what is asked here.
    await Promise.resolve()
    while (!signal.aborted) {
      try {
        const answer = await ask(signal)
        if (signal.aborted) return
        data = answer
        problem = undefined
        at = Date.now()
      } catch (error) {
        if (signal.aborted) return
        problem = toProblem(error)
      }
      const waitMs = problem?.isAway ? Math.max(AGAIN_MS, everyMs) : problem === undefined ? everyMs : everyMs && 15_000
      await pause(waitMs, signal)
      await seen(signal)
    }
  }

  function pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms > 0 ? setTimeout(resolve, ms) : undefined
      const go = () => {
        clearTimeout(timer)
        resolve()
      }
      wake = go
      signal.addEventListener('abort', go, { once: true })
    })
  }
}

let now = $state(Date.now())
let watchers = 0
let ticking: ReturnType<typeof setInterval> | undefined

/** The time, anew every second, for ages that grow while they are looked at. */
export function useNow(): { readonly value: number } {
  $effect(() => {
    if (watchers++ === 0) {
      now = Date.now()
      ticking = setInterval(() => {
        now = Date.now()
      }, 1000)
    }
    return () => {
      if (--watchers === 0) clearInterval(ticking)
    }
  })
  return {
    get value() {
      return now
    },
  }
}
