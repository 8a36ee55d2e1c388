import { writeDocs } from './speed/docs.ts'
import { readResults } from './speed/results.ts'

/** Writes what was measured into the documentation. */
async function main(): Promise<void> {
  const results = await readResults()
  if (results === null) throw new Error('nothing has been measured yet: npm run bench')
  await writeDocs(results)
  console.log('docs/benchmarks.md, docs/pictures/speed.svg')
}

await main()
