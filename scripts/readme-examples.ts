/** An event that the README sends with curl, as it is written there. */
export type PostExample = { path: string; contentType: string; body: string }

const START = 'curl -X POST '
const EXAMPLE = /^curl -X POST localhost:8080(\/\S+) -H 'Content-Type: ([^']+)' -d '([^']+)'$/gm

/** The posts of a README, in its order. Throws if there are none, or some that cannot be read. */
export function readPostExamples(readme: string): PostExample[] {
  const examples = [...readme.matchAll(EXAMPLE)].map(([, path, contentType, body]) => {
    return { path, contentType, body } as PostExample
  })
  const written = readme.split(START).length - 1
  if (written === 0) throw new Error(`the README has no example that begins with ${START}`)
  if (examples.length !== written)
    throw new Error(`the README has ${written} posts, of which ${examples.length} can be read`)
  for (const { body } of examples) JSON.parse(body)
  return examples
}
