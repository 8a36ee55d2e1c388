import { readFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readRules } from './rules.ts'
import { asJson, dashboards, fileOf, metricsPage } from './table-of-contents.ts'

/** Writes grafana/dashboards/*.json, and in docs/metrics.md who uses what. With --check it only compares. */

const root = new URL('../../', import.meta.url)
const metrics = new URL('docs/metrics.md', root)

const files = [
  ...dashboards.map((dashboard) => ({
    file: new URL(`grafana/dashboards/${fileOf(dashboard)}`, root),
    content: asJson(dashboard),
  })),
  { file: metrics, content: metricsPage(readFileSync(metrics, 'utf8'), readRules()) },
]

function current(file: URL): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}

const stale = files.filter(({ file, content }) => current(file) !== content)
const names = stale.map(({ file }) => relative(fileURLToPath(root), fileURLToPath(file))).join(', ')
if (stale.length === 0) {
  console.log('The dashboards are as their code says.')
} else if (process.argv.includes('--check')) {
  console.error(`Not as the code of the dashboards says: ${names}. Run: node --import tsx grafana/code/build.ts`)
  process.exitCode = 1
} else {
  for (const { file, content } of stale) writeFileSync(file, content)
  console.log(`Written: ${names}`)
}
