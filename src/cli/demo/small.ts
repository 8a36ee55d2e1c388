import { startStandby } from '../../embedded/index.ts'
import { loadCities } from './cities.ts'
import type { House } from './house.ts'
import { playShow } from './show.ts'
import { count } from './words.ts'

/** The show on the cities of the world, with a standby beside. Returns what is wrong with its end. */
export async function playSmall(house: House): Promise<string[]> {
  const { screen, signal } = house
  const postgres = await house.startPostgres()
  const pool = house.connect(postgres.url)

  // Before there is anything to copy: it is there sooner, and follows the loading.
  const follower = await house.timed('a standby streams from it', async () => {
    const follower = await startStandby(postgres, { name: 'one' })
    house.onEnd(() => follower.stop())
    return follower
  })
  const standby = house.connect(follower.url)

  let rowsLoaded = 0
  await house.timed('the cities of the world are loaded', async () => {
    const loaded = await loadCities(pool)
    rowsLoaded = loaded.cities
    return `${count(loaded.cities)} rows in cities, ${loaded.countries} in countries`
  })
  const service = await house.startService(postgres, pool, 'auto')
  return playShow({
    ...service,
    screen,
    pool,
    standby,
    databaseUrl: postgres.url,
    rowsLoaded,
    signal,
    onEnd: (step) => house.onEnd(step),
  })
}
