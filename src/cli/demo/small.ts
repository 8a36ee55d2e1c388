import { startStandby } from '../../embedded/index.ts'
import { loadCities } from './cities.ts'
import type { Environment } from './environment.ts'
import { count } from './messages.ts'
import { runScript } from './script.ts'

/** The demo on the cities of the world, with a standby. Returns what is wrong at its end. */
export async function runSmall(environment: Environment): Promise<string[]> {
  const { screen, signal } = environment
  const postgres = await environment.startPostgres()
  const pool = environment.connect(postgres.url)

  // Started before there is data to copy: it is ready sooner, and follows the loading.
  const follower = await environment.timed('a standby streams from it', async () => {
    const follower = await startStandby(postgres, { name: 'one' })
    environment.onEnd(() => follower.stop())
    return follower
  })
  const standby = environment.connect(follower.url)

  let rowsLoaded = 0
  await environment.timed('the cities of the world are loaded', async () => {
    const loaded = await loadCities(pool)
    rowsLoaded = loaded.cities
    return `${count(loaded.cities)} rows in cities, ${loaded.countries} in countries`
  })
  const service = await environment.startService(postgres, pool, 'auto')
  return runScript({
    ...service,
    screen,
    pool,
    standby,
    databaseUrl: postgres.url,
    rowsLoaded,
    signal,
    onEnd: (step) => environment.onEnd(step),
  })
}
