import { defineJob, sql } from 'evenkeel'

/** A country code in every row becomes a reference to a table of countries. */
export default defineJob({
  name: 'cities-country',
  description: 'country_id from the two-letter code, by a look-up in countries',
  table: 'public.cities',
  // Codes that countries does not know stay as they are: with them in, the run would stop and say so.
  where: sql`country_id IS NULL AND EXISTS (SELECT FROM countries WHERE countries.code = cities.country)`,
  set: { country_id: sql`SELECT countries.id FROM countries WHERE countries.code = cities.country` },
  options: { targetBatchSeconds: 0.05 },
})
