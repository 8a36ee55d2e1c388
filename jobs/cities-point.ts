import { defineJob, sql } from 'evenkeel'
import { z } from 'zod'

/** One point column instead of two numbers, rounded to as many decimals as the application wants. */
export default defineJob({
  name: 'cities-point',
  description: 'longitude and latitude as one point, rounded',
  table: 'public.cities',
  params: z.object({
    decimals: z.int().min(0).max(5).default(3).describe('3 decimals are about 100 m'),
    minPopulation: z.int().min(0).default(0).describe('Only cities of at least this many people'),
  }),
  where: ({ minPopulation }) => sql`location IS NULL AND population >= ${minPopulation}::int`,
  set: ({ decimals }) => ({
    location: sql`point(round(longitude::numeric, ${decimals}::int)::float8, round(latitude::numeric, ${decimals}::int)::float8)`,
  }),
})
