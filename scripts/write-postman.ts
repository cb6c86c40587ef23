import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SERVICES, type ServiceName } from '../src/config.ts'
import type { OpenapiDocument } from './openapi-document.ts'
import { buildPostman } from './postman-collection.ts'
import { readPostExamples } from './readme-examples.ts'
import { OPENAPI_FOLDER } from './write-openapi.ts'

/** `npm run postman`: writes `load/postman/` from the OpenAPI documents that are committed and the examples of the README. */

export const POSTMAN_FOLDER = fileURLToPath(new URL('../load/postman', import.meta.url))
export const COLLECTION = 'runify.postman_collection.json'
export const ENVIRONMENT = 'runify.postman_environment.json'
const README = fileURLToPath(new URL('../README.md', import.meta.url))

/** The text of each file, the same for the same documents. */
export async function generatePostman(): Promise<Record<string, string>> {
  const documents = SERVICES.map(async (service) => {
    const text = await readFile(join(OPENAPI_FOLDER, `${service}.json`), 'utf8')
    return [service, JSON.parse(text) as OpenapiDocument]
  })
  const { collection, environment } = buildPostman(
    Object.fromEntries(await Promise.all(documents)) as Record<ServiceName, OpenapiDocument>,
    readPostExamples(await readFile(README, 'utf8')),
  )
  const toText = (value: object) => `${JSON.stringify(value, null, 2)}\n`
  return { [COLLECTION]: toText(collection), [ENVIRONMENT]: toText(environment) }
}

if (import.meta.main) {
  await mkdir(POSTMAN_FOLDER, { recursive: true })
  for (const [name, text] of Object.entries(await generatePostman())) await writeFile(join(POSTMAN_FOLDER, name), text)
}
