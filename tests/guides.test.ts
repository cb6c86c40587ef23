import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { type Runify, startInProcess } from '../test-support/harness.ts'
import { type ExampleRunner, openExampleRunner } from './guides/example-runner.ts'
import { readExamples } from './guides/guide.ts'

/** Every example of the guides, as a reader would copy it, in the order of the page, against a Runify of its own. */

const GUIDES = new URL('../docs/guides/', import.meta.url)

for (const name of readdirSync(GUIDES).filter((file) => file.endsWith('.md'))) {
  describe(`The guide ${name}`, () => {
    const examples = readExamples(readFileSync(new URL(name, GUIDES), 'utf8'))
    checkPage(({ run }) => {
      test('has examples', () => assert.ok(examples.length > 0))
      for (const example of examples) {
        test(`works in line ${example.line}: ${example.script.split('\n', 1)[0]}`, () => run(example))
      }
    })
  })
}

describe('The test of the guides', () => {
  checkPage(({ run }) => {
    const runPage = async (page: string) => {
      for (const example of readExamples(page)) await run(example)
    }
    const stats = 'curl localhost:8090/stats'
    const block = (kind: string, text: string) => `\`\`\`${kind}\n${text}\n\`\`\`\n`

    test('takes what a guide says as it is', async () => {
      const shown = '{"num_running_stats": 12, "num_music_info": 3}'
      await runPage(block('sh', `${stats}\n# 200`) + block('json', shown))
      await runPage(block('sh', `curl localhost:8090/nothing >/dev/null\n# 404\n${stats} | cat`) + block('json', shown))
      await runPage(block('sh', 'npx runify --version'))
      await runPage(block('console', 'false'))
      await runPage(block('sh', 'curl localhost:8090/stats/running') + block('json', '[]'))
    })

    test('finds what is not so', async () => {
      const wrong = {
        'a status': block('sh', `${stats}\n# 201`),
        'a status that is not told': block('sh', 'curl localhost:8090/nothing'),
        'a script that fails': block('sh', 'false | cat'),
        'a command that fails': block('sh', 'npx runify nothing'),
        'a member that is missing':
          block('sh', stats) + block('json', '{"num_running_stats": 12, "num": 3, "num_music_info": 3}'),
        'a member that is not shown': block('sh', stats) + block('json', '{"num_running_stats": 12}'),
        'a type': block('sh', stats) + block('json', '{"num_running_stats": 12, "num_music_info": "3"}'),
        'a list that is empty': block('sh', 'curl localhost:8090/stats/running') + block('json', '[1]'),
        'a line of names': block('sh', "curl -H 'Accept: text/csv' localhost:8090/stats/running") + block('csv', 'a,b'),
      }
      for (const [what, page] of Object.entries(wrong)) {
        await assert.rejects(runPage(page), { name: 'AssertionError' }, what)
      }
      assert.throws(() => readExamples('```sh\ncurl'), /line 2 has no end/)
      assert.throws(() => readExamples(block('sh', '# 201')), /status of no call/)
    })
  })
})

/** Declares the tests of a page, on a system and in a folder of its own. */
function checkPage(declare: (runner: Pick<ExampleRunner, 'run'>) => void): void {
  let runify: Runify
  let runner: ExampleRunner
  before(async () => {
    runify = await startInProcess()
    runner = await openExampleRunner(runify)
  })
  after(async () => {
    await runner?.[Symbol.asyncDispose]()
    await runify?.[Symbol.asyncDispose]()
  })
  declare({ run: (example) => runner.run(example) })
}
