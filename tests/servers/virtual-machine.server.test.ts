import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Container, docker } from '../../test-support/containers.ts'
import { asStored, makeRun } from '../../test-support/events.ts'
import { getJson, post, settled, temporaryFolder, waitFor } from '../../test-support/harness.ts'
import { ComposeProject } from './compose-project.ts'

/**
 * deploy/azure, on a machine that a container stands in for: cloud-init itself runs the file, stage by stage, as it does
 * when a machine starts. There is no systemd, so a script does what systemd would do with the unit; Docker is this
 * machine's, and so Runify comes up beside the container.
 */

const execute = promisify(execFile)
const IMAGE = 'node:26-bookworm-slim'
const PLACEHOLDER = 'REPOSITORY'
const SETTLED_MS_MAX = 60_000
const DIRECTORY = '/opt/runify'
const STAGES = ['init --local', 'init', 'modules --mode=config', 'modules --mode=final']

/**
 * What of cloud-init is run: the modules that the file is for. Others of a distribution's image are about what a container
 * has not, such as partitions, or must keep, such as its network, its name and its sources of packages.
 */
const CLOUD_CONFIG = `
datasource_list: [NoCloud]
network: {config: disabled}
cloud_init_modules: [write_files, mounts]
cloud_config_modules: [runcmd]
cloud_final_modules: [package_update_upgrade_install, scripts_user]
`
/** A container may not turn swap on. */
const EXPECTED_WARNING = 'Activate mounts: FAIL:swapon -a'

/** As systemd treats this unit, a oneshot that remains after its end. */
const SYSTEMCTL = `#!/bin/sh
set -eu
unit=/etc/systemd/system/runify.service
active=/run/runify.active
setting() { sed -n "s/^$1=//p" "$unit"; }
run() { cd "$(setting WorkingDirectory)" && env -i PATH="$PATH" $(setting "$1"); }
case "$*" in
  daemon-reload | 'enable runify.service') ;;
  'start runify.service') [ -e "$active" ] || run ExecStart; touch "$active" ;;
  'stop runify.service') run ExecStop; rm "$active" ;;
  'reload-or-restart runify.service')
    if [ -e "$active" ]; then run ExecReload; else run ExecStart; fi
    touch "$active" ;;
  *) echo "systemctl $* is not known here" >&2; exit 1 ;;
esac
`

/** Packages under the names that Ubuntu has for what the test brings: newer than any, so that no upgrade replaces them. */
const STAND_INS = `set -eu
for name in docker.io docker-buildx docker-compose-v2; do
  mkdir -p "/tmp/$name/DEBIAN"
  printf '%s\\n' "Package: $name" 'Version: 99:0' 'Architecture: all' 'Maintainer: a test' 'Description: a stand-in' \\
    >"/tmp/$name/DEBIAN/control"
  dpkg-deb --build "/tmp/$name" >/dev/null
  dpkg --install "/tmp/$name.deb" >/dev/null
done`

describe('A virtual machine', () => {
  const opened = new AsyncDisposableStack()
  let project: ComposeProject
  let machine: Container
  let event: { run: ReturnType<typeof makeRun>; traceId: string }
  before(async () => {
    project = opened.use(await ComposeProject.copy('compose.yaml'))
    await commitAll(project.folder)
    await project.configure()
    // What the machine builds then is there already, as its sources are the same.
    const [made] = await Promise.all([startMachine(opened), project.run('build')])
    machine = made
    await giveUserData(machine, project)
  })
  after(() => opened.disposeAsync())

  test("has a file that cloud-init's schema allows", async () => {
    assert.match(await machine.exec('cloud-init', 'schema', '--config-file', '/tmp/user-data'), /^Valid/)
  })

  test('is made ready by cloud-init without an error', async () => {
    const path = await machine.exec('printenv', 'PATH')
    // As at a start, when there is no HOME.
    for (const stage of STAGES) {
      await machine.exec(
        'env',
        '-i',
        `PATH=${path}`,
        'sh',
        '-c',
        `cloud-init ${stage} >>/tmp/output 2>&1 || { tail -n 40 /tmp/output >&2; exit 1; }`,
      )
    }
    const { v1 } = JSON.parse(await machine.exec('cat', '/run/cloud-init/status.json')) as {
      v1: Record<string, { errors?: string[]; finished?: number } | string | null>
    }
    for (const stage of ['init-local', 'init', 'modules-config', 'modules-final']) {
      const { errors, finished } = v1[stage] as { errors: string[]; finished: number | null }
      assert.deepEqual([errors, typeof finished], [[], 'number'], stage)
    }
    const log = await machine.exec('cat', '/var/log/cloud-init.log')
    const warnings = log.split('\n').filter((line) => /\[(WARNING|ERROR|CRITICAL)\]/.test(line))
    assert.deepEqual(
      warnings.filter((line) => !line.endsWith(EXPECTED_WARNING)),
      [],
    )
  })

  test('has swap for the peaks', async () => {
    assert.equal(await machine.exec('stat', '--format=%s %a', '/swapfile'), `${2 * 1024 ** 3} 600`)
    assert.match(await machine.exec('swaplabel', '/swapfile'), /^UUID: /)
    assert.match(await machine.exec('cat', '/etc/fstab'), /^\/swapfile\s+none\s+swap\s/m)
  })

  test('takes security updates by itself, and reboots at night for them', async () => {
    assert.match(await machine.exec('dpkg-query', '--status', 'unattended-upgrades'), /^Status: install ok installed$/m)
    const settings = (await machine.exec('apt-config', 'dump')).split('\n')
    for (const setting of [
      'APT::Periodic::Update-Package-Lists "1";',
      'APT::Periodic::Unattended-Upgrade "1";',
      'Unattended-Upgrade::Automatic-Reboot "true";',
      'Unattended-Upgrade::Automatic-Reboot-Time "04:00";',
    ]) {
      assert.ok(settings.includes(setting), setting)
    }
  })

  test('has passwords of its own, which only root may read', async () => {
    assert.equal(await machine.exec('stat', '--format=%U %a', `${DIRECTORY}/.env`), 'root 600')
    const settings = await readSettings(machine)
    const secrets = ['MYSQL_ROOT_PASSWORD', 'MYSQL_PASSWORD', 'RUNIFY_CANARY_KEY'].map((name) => settings.get(name))
    for (const secret of secrets) assert.match(secret as string, /^[0-9a-f]{48}$/)
    assert.equal(new Set(secrets).size, secrets.length)
  })

  test('has a unit that systemd takes', async () => {
    // The package that brings it is a stand-in here.
    await machine.exec('sh', '-c', 'printf "[Service]\\nExecStart=/bin/true\\n" >/etc/systemd/system/docker.service')
    const unit = '/etc/systemd/system/runify.service'
    assert.equal(await machine.exec('sh', '-c', `systemd-analyze verify ${unit} 2>&1`), '')
  })

  test('takes an event in, keeps it and counts it', async () => {
    const run = makeRun(0, { event_id: 'run-0' })
    const { status, body } = await post(`${project.addresses.receiver}/stats/running`, run)
    assert.equal(status, 201, JSON.stringify(body))
    event = { run, traceId: body.trace_id as string }
    await settled(project, SETTLED_MS_MAX)
    await checkEvent(project, event)
  })

  test('leaves passwords as they are when setup.sh runs again, and replaces only what has changed', async () => {
    const settings = await readSettings(machine)
    const before = await containersOf(project)
    await machine.exec('sh', '-c', `echo RECEIVER_WORKERS=2 >>${DIRECTORY}/.env`)
    await machine.exec('sh', '-c', `${DIRECTORY}/deploy/azure/setup.sh 2>&1`)
    settings.set('RECEIVER_WORKERS', '2')
    assert.deepEqual(await readSettings(machine), settings)
    const { receiver, ...others } = await containersOf(project)
    assert.notDeepEqual(receiver, before.receiver)
    assert.deepEqual({ ...others, receiver: before.receiver }, before)
    assert.equal(await project.run('exec', '-T', 'receiver', 'printenv', 'RECEIVER_WORKERS'), '2\n')
  })

  test('has everything again after a reboot', async () => {
    await machine.exec('systemctl', 'stop', 'runify.service')
    await assert.rejects(fetch(`${project.addresses.receiver}/health/live`))
    await machine.exec('sh', '-c', 'systemctl start runify.service 2>&1')
    await waitFor(() => fetch(`${project.addresses.processing}/health/ready`).then(({ ok }) => ok), SETTLED_MS_MAX)
    await settled(project, SETTLED_MS_MAX)
    await checkEvent(project, event)
  })
})

/** A machine with cloud-init, Docker's client and nothing of Runify. */
async function startMachine(opened: AsyncDisposableStack): Promise<Container> {
  const { DOCKER_HOST = await docker('context', 'inspect', '--format', '{{.Endpoints.docker.Host}}') } = process.env
  const [, socket] = /^unix:\/\/(.+)$/.exec(DOCKER_HOST) ?? []
  assert.ok(socket !== undefined, `${DOCKER_HOST} cannot be given to a container`)
  const mount = ['-v', `${socket}:/var/run/docker.sock`]
  const machine = opened.use(await Container.run(['--init', ...mount, '--entrypoint', 'sleep', IMAGE, 'infinity']))
  // What a power cut would do to its packages is all the same.
  await machine.exec('sh', '-c', 'echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/test && apt-get update')
  const install = 'DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends cloud-init systemd'
  await machine.exec('sh', '-c', install)
  await machine.exec('sh', '-c', STAND_INS)
  await machine.exec('mkdir', '-p', '/usr/libexec/docker/cli-plugins')
  const { stdout: client } = await execute('sh', ['-c', 'command -v docker'])
  await machine.copy(client.trim(), '/usr/bin/docker')
  for (const plugin of await pluginPaths()) await machine.copy(plugin, '/usr/libexec/docker/cli-plugins')
  return machine
}

/** Of Docker's client here: Compose, and what Compose builds with. */
async function pluginPaths(): Promise<string[]> {
  const format = '{{range .ClientInfo.Plugins}}{{.Name}} {{.Path}}\n{{end}}'
  const lines = (await docker('info', '--format', format)).split('\n')
  const plugins = lines.map((line) => line.split(' ') as [name: string, path: string])
  return plugins.filter(([name]) => name === 'compose' || name === 'buildx').map(([, path]) => path)
}

/** The file as its user changes it: with the address of a repository, and settings of their own. */
async function giveUserData(machine: Container, project: ComposeProject): Promise<void> {
  const path = fileURLToPath(new URL('../../deploy/azure/cloud-init.yaml', import.meta.url))
  const file = (await readFile(path, 'utf8')).replaceAll(PLACEHOLDER, 'file:///source')
  const own = { ...project.ports, COMPOSE_PROJECT_NAME: project.name, RUNIFY_IMAGE: project.name }
  const [anchor, indent] = /^( +)RUNIFY_LOG_LEVEL=info$/m.exec(file) as unknown as [string, string]
  const added = Object.entries(own).map(([name, value]) => `${indent}${name}=${value}`)
  await using folder = await temporaryFolder()
  const write = async (name: string, text: string) => {
    await writeFile(join(folder.path, name), text)
    return join(folder.path, name)
  }
  const userData = await write('user-data', file.replace(anchor, [anchor, ...added].join('\n')))
  const seed = '/var/lib/cloud/seed/nocloud'
  await machine.exec('mkdir', '-p', seed)
  await machine.copy(userData, '/tmp/user-data')
  await machine.copy(userData, `${seed}/user-data`)
  await machine.copy(await write('meta-data', 'instance-id: machine\n'), `${seed}/meta-data`)
  await machine.copy(await write('config', CLOUD_CONFIG), '/etc/cloud/cloud.cfg.d/99-container.cfg')
  await machine.copy(await write('systemctl', SYSTEMCTL), '/usr/local/bin/systemctl')
  await machine.exec('chmod', '755', '/usr/local/bin/systemctl')
  await machine.copy(join(project.folder, '.git'), '/source')
}

/** The tree as a repository that can be cloned. */
async function commitAll(folder: string): Promise<void> {
  const git = (...args: string[]) => execute('git', args, { cwd: folder, maxBuffer: 16 * 1024 * 1024 })
  await git('init', '--quiet', '--initial-branch=main')
  await git('add', '--all')
  await git('-c', 'user.name=test', '-c', 'user.email=test@localhost', 'commit', '--quiet', '--message=All')
}

/** Where a name stands twice, the last counts. */
async function readSettings(machine: Container): Promise<Map<string, string>> {
  const lines = (await machine.exec('cat', `${DIRECTORY}/.env`)).split('\n')
  const pairs = lines.map((line) => /^([A-Z0-9_]+)=(.*)$/.exec(line)).filter((found) => found !== null)
  return new Map(pairs.map(([, name, value]) => [name as string, value as string]))
}

async function containersOf(project: ComposeProject): Promise<Record<string, string[]>> {
  const services = ['mysql', 'kafka', 'storage', 'receiver']
  const found = services.map(async (service) => [service, await project.containers(service)])
  return Object.fromEntries(await Promise.all(found))
}

async function checkEvent(
  { addresses: { storage, processing, analyzer } }: ComposeProject,
  { run, traceId }: { run: ReturnType<typeof makeRun>; traceId: string },
): Promise<void> {
  const { type, date_created, partition, offset, ...stored } = await getJson(`${storage}/events/${traceId}`)
  assert.deepEqual(stored, { ...asStored(run), event_id: run.event_id, trace_id: traceId })
  assert.equal((await getJson(`${processing}/stats`)).num_running_stats, 1)
  assert.equal((await getJson(`${analyzer}/running?index=0`)).trace_id, traceId)
}
