import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MIB = 1024 * 1024

/** On what the figures were measured, in a line. */
export function machineName(): string {
  const cores = cpus()
  return `${cores[0]?.model.trim() ?? 'unknown processor'}, ${cores.length} cores, ${Math.round(totalmem() / MIB / 1024)} GiB`
}

/** Of Runify and of Node; `packages` are those whose versions matter besides. */
export function versionsOf(packages: readonly string[]): Record<string, string> {
  const { dependencies } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
    dependencies: Record<string, string>
  }
  return {
    Runify: commit(),
    Node: process.versions.node,
    ...Object.fromEntries(packages.map((name) => [name, dependencies[name] ?? 'unknown'])),
  }
}

/** With a note where what runs is not what was committed. */
function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
  const name = git('rev-parse', '--short', 'HEAD')
  return git('status', '--porcelain', '--', 'src', 'package.json') === '' ? name : `${name} with changes`
}

/** Resident memory that a process has had at most, MiB. */
export function peakMb(pid: number): number {
  return peakOf(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

/** The same, of the text of one or more `/proc/PID/status`: of the largest. */
export function peakOf(status: string): number {
  const kib = [...status.matchAll(/^VmHWM:\s+(\d+) kB$/gm)].map(([, number]) => Number(number))
  return Math.max(0, ...kib) / 1024
}
