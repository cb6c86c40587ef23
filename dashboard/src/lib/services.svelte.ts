import { getAt, Problem, toProblem } from './api.ts'
import { settings } from './settings.svelte.ts'

/** Whether each service is there, as this page sees it: by asking every one whether it is ready. */

export type ServiceState = 'asking' | 'ready' | 'not_ready' | 'away' | 'unknown' | 'not_part'
export type Service = { name: string; title: string; state: ServiceState; detail: string; ms: number | undefined }

const SERVICES = [
  ['receiver', 'Receiver'],
  ['storage', 'Storage'],
  ['processing', 'Processing'],
  ['analyzer', 'Analyzer'],
  ['anomaly', 'Anomaly detector'],
  ['check', 'Health check'],
] as const
const EVERY_MS = 3000

export type Services = {
  readonly all: readonly Service[]
  readonly away: string[]
  /** The dashboard itself does not answer, so nothing is known of anybody. */
  readonly isOffline: boolean
}

export function watchServices(): Services {
  let all = $state.raw<Service[]>(
    SERVICES.map(([name, title]) => ({ name, title, state: 'asking', detail: '', ms: undefined })),
  )
  $effect(() => {
    const stop = new AbortController()
    void watch(stop.signal)
    return () => stop.abort()
  })
  return {
    get all() {
      return all
    },
    get isOffline() {
      return all.every(({ state }) => state === 'unknown')
    },
    get away() {
      return all.filter(({ state }) => state === 'away').map(({ title }) => title)
    },
  }

  async function watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (document.visibilityState === 'visible') {
        const states = await Promise.all(SERVICES.map(([name, title]) => ask(name, title, signal)))
        if (signal.aborted) return
        all = states
        void askForKey(signal)
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
    }
  }
}

let keyChecked: string | undefined

/** Health is open to everybody, so whether a key is needed is seen by asking for something else, once for each key. */
async function askForKey(signal: AbortSignal): Promise<void> {
  if (keyChecked === settings.key) return
  const asked = settings.key
  try {
    await getAt('/storage/stats', signal)
    keyChecked = asked
  } catch (error) {
    if (!(error instanceof Problem) || !error.wantsKey) return
    keyChecked = asked
    settings.keyWanted = true
  }
}

async function ask(name: string, title: string, signal: AbortSignal): Promise<Service> {
  const began = performance.now()
  try {
    await getAt(`/${name}/health/ready`, signal)
    return { name, title, state: 'ready', detail: 'Ready', ms: performance.now() - began }
  } catch (error) {
    const problem = toProblem(error)
    const state = problem.status === 0 ? 'unknown' : problem.code === 'service_unavailable' ? 'away' : 'not_ready'
    const isPart = !problem.isMissing
    return {
      name,
      title,
      state: isPart ? state : 'not_part',
      detail: isPart ? problem.message : 'Not started here',
      ms: undefined,
    }
  }
}
