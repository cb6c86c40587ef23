import { once } from 'node:events'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { type OpenLoop, type OpenLoopAnswers, openLoop } from './open-loop.ts'

/** Sends from a thread of its own, so that a test that is busy meanwhile makes no answer late. */
export async function openLoopInThread(options: OpenLoop): Promise<OpenLoopAnswers> {
  const worker = new Worker(new URL(import.meta.url), { workerData: options })
  const [answers] = (await once(worker, 'message')) as [OpenLoopAnswers]
  await worker.terminate()
  return answers
}

if (parentPort !== null && workerData !== null) parentPort.postMessage(await openLoop(workerData as OpenLoop))
