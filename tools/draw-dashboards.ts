import { readFile, writeFile } from 'node:fs/promises'
import { type Dashboard, readDashboard } from './renderer/dashboard.ts'
import { drawDashboard } from './renderer/page.ts'
import type { Recording } from './renderer/recording.ts'

/** Draws the dashboards as a recording has seen them. The same recording gives the same bytes. */

const root = new URL('../', import.meta.url)
const names = ['overview', 'run', 'database', 'service']

async function main(file: string | undefined): Promise<void> {
  if (file === undefined) throw new Error('Usage: node --import tsx tools/draw-dashboards.ts RECORDING.json')
  const recording = JSON.parse(await readFile(file, 'utf8')) as Recording
  const dashboards = await Promise.all(names.map(read))
  for (const [index, dashboard] of dashboards.entries()) {
    const recorded = recording.dashboards[dashboard.uid]
    if (!recorded) throw new Error(`${file} has nothing of ${dashboard.uid}`)
    const picture = `docs/pictures/dashboard-${names[index]}.svg`
    await writeFile(new URL(picture, root), drawDashboard(dashboard, dashboards, recorded))
    console.log(picture)
  }
}

async function read(name: string): Promise<Dashboard> {
  return readDashboard(JSON.parse(await readFile(new URL(`grafana/dashboards/${name}.json`, root), 'utf8')))
}

await main(process.argv[2])
