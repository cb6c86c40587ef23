import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import validator from '@action-validator/core'
import { parse } from 'yaml'

/** What GitHub reads of this repository, as far as that can be judged elsewhere. */

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8')
const workflows = globSync('.github/workflows/*.yml', { cwd: ROOT })

type Step = { uses?: string; run?: string }
type Workflow = { permissions?: Record<string, string>; jobs: Record<string, { uses?: string; steps?: Step[] }> }

describe('The workflows', () => {
  test('are there', () => {
    assert.deepEqual(workflows.toSorted(), ['.github/workflows/ci.yml', '.github/workflows/release.yml'])
  })

  for (const path of workflows) {
    test(`${path} is valid, and may write nothing`, () => {
      assert.deepEqual(validator.validateWorkflow(read(path)).errors, [])
      assert.deepEqual((parse(read(path)) as Workflow).permissions, { contents: 'read' })
    })

    test(`${path} uses actions by version, and files that are there`, () => {
      const jobs = Object.values((parse(read(path)) as Workflow).jobs)
      const used = jobs.flatMap(({ uses, steps = [] }) => [uses, ...steps.map((step) => step.uses)])
      for (const name of used.filter((uses) => uses !== undefined)) {
        if (name.startsWith('./')) assert.ok(existsSync(`${ROOT}${name}`), name)
        else assert.match(name, /^[\w-]+\/[\w-]+@v\d+$/)
      }
    })
  }

  test('would be refused with a mistake', () => {
    const wrong = read('.github/workflows/ci.yml').replace('runs-on:', 'runs_on:')
    assert.notDeepEqual(validator.validateWorkflow(wrong).errors, [])
  })

  test('run what CI runs', () => {
    const { jobs } = parse(read('.github/workflows/ci.yml')) as Workflow
    const runs = Object.values(jobs).flatMap(({ steps = [] }) => steps.map(({ run }) => run))
    assert.ok(runs.some((run) => run?.endsWith(' .ci/run')))
    assert.ok(existsSync(`${ROOT}.ci/run`))
  })
})

describe('What GitHub asks people and looks after', () => {
  test('has forms of fields that are known, each with an id of its own', () => {
    const forms = globSync('.github/ISSUE_TEMPLATE/*.yml', { cwd: ROOT }).filter((path) => !path.endsWith('config.yml'))
    assert.equal(forms.length, 2)
    for (const path of forms) {
      const form = parse(read(path)) as { name: string; description: string; body: { type: string; id: string }[] }
      assert.ok(form.name.length > 0 && form.description.length > 0)
      assert.equal(new Set(form.body.map(({ id }) => id)).size, form.body.length)
      for (const { type } of form.body) assert.match(type, /^(markdown|textarea|input|dropdown|checkboxes)$/)
    }
  })

  test('updates every kind of dependency that there is', () => {
    const { version, updates } = parse(read('.github/dependabot.yml')) as {
      version: number
      updates: { 'package-ecosystem': string; directory: string; schedule: { interval: string } }[]
    }
    assert.equal(version, 2)
    const files: Record<string, string> = {
      npm: 'package.json',
      docker: 'Dockerfile',
      'docker-compose': 'compose.yaml',
      'github-actions': '.github/workflows/ci.yml',
    }
    assert.deepEqual(updates.map((update) => update['package-ecosystem']).toSorted(), Object.keys(files).toSorted())
    for (const { 'package-ecosystem': ecosystem, schedule } of updates) {
      assert.ok(existsSync(`${ROOT}${files[ecosystem]}`), ecosystem)
      assert.match(schedule.interval, /^(daily|weekly|monthly)$/)
    }
  })
})
