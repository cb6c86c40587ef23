import { type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandError } from '../src/cli/command.ts'

/** How JMeter is started: what comes before its own arguments, and where it is, for a person. */
export type JMeter = { command: string; args: string[]; where: string }

const POM = fileURLToPath(new URL('../load/pom.xml', import.meta.url))
/** The version is that of the POM. `npm ci` removes the folder; Maven still has what goes into it. */
const HOME = fileURLToPath(new URL('../node_modules/.cache/jmeter-5.6.3', import.meta.url))
/** JMeter reads and writes its plans by reflection, which Java forbids since 17 unless it is told not to. */
const JAVA_OPTIONS = ['java.lang', 'java.lang.invoke', 'java.lang.reflect', 'java.text', 'java.util']
  .map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`)
  .concat('-Djava.awt.headless=true')

/** The one that is installed: at JMETER_HOME, or on the PATH; otherwise Maven's. Throws a `CommandError` if it cannot be had. */
export async function findJMeter(): Promise<JMeter> {
  const named = process.env.JMETER_HOME
  if (named) {
    if (!existsSync(jarOf(named))) throw new CommandError(`JMETER_HOME is ${named}, where no bin/ApacheJMeter.jar is`)
    return startedFrom(named)
  }
  const installed = findOnPath('jmeter')
  if (installed !== undefined) return { command: installed, args: [], where: installed }
  const jmeter = startedFrom(HOME)
  if (!existsSync(HOME)) await assemble(HOME)
  return jmeter
}

/** Runs a program to its end, and resolves to its exit code. It ends with this process. */
export async function runProgram(command: string, args: readonly string[], stdio: StdioOptions): Promise<number> {
  const child = spawn(command, args, { stdio })
  const stop = () => child.kill()
  process.once('SIGTERM', stop).once('exit', stop)
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    return code ?? 1
  } catch (error) {
    throw new CommandError(`${command} cannot be run: ${(error as Error).message}`, { cause: error })
  } finally {
    process.off('SIGTERM', stop).off('exit', stop)
  }
}

function startedFrom(home: string): JMeter {
  const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, 'bin', 'java') : findOnPath('java')
  if (java === undefined) throw new CommandError('JMeter needs Java, which is not here: install Java 17 or later')
  return { command: java, args: [...JAVA_OPTIONS, '-jar', jarOf(home)], where: home }
}

function jarOf(home: string): string {
  return join(home, 'bin', 'ApacheJMeter.jar')
}

async function assemble(home: string): Promise<void> {
  const maven = findOnPath('mvn')
  if (maven === undefined) throw new CommandError('neither JMeter nor Maven (mvn) is here: install one of them')
  console.log('JMeter is not installed: Maven fetches it, once')
  // Whole or not at all, also when two runs do this at the same time.
  const part = `${home}.${process.pid}.part`
  try {
    await mkdir(part, { recursive: true })
    const args = ['--batch-mode', '--quiet', '-Dstyle.color=never', '--file', POM, `-Djmeter.home=${part}`, 'package']
    const code = await runProgram(maven, args, ['ignore', 'inherit', 'inherit'])
    if (code !== 0) throw new CommandError(`Maven could not fetch JMeter (exit code ${code}); above it says why`)
    await quieten(part)
    await rename(part, home).catch((error) => {
      if (!existsSync(home)) throw error
    })
  } finally {
    await rm(part, { recursive: true, force: true })
  }
}

/** At every start it would complain of a folder that it does not need, and of its own logging. */
async function quieten(home: string): Promise<void> {
  await mkdir(join(home, 'lib', 'junit'))
  const logging = join(home, 'bin', 'log4j2.xml')
  await writeFile(logging, (await readFile(logging, 'utf8')).replace('status="WARN"', 'status="ERROR"'))
}

function findOnPath(name: string): string | undefined {
  const places = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return places.map((folder) => join(folder, name)).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
