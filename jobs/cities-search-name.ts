import { defineJob, sql } from 'evenkeel'

/** São Tomé is found by "sao tome": lower case, accents off. Unicode does the taking apart, no extension is needed. */
export default defineJob({
  name: 'cities-search-name',
  description: 'A search name without diacritics, for every city',
  table: 'public.cities',
  where: sql`search_name IS NULL`,
  set: {
    // NFD splits a letter from its accents (U+0300 to U+036F), which are then left out.
    search_name: sql`lower(regexp_replace(normalize(name, NFD), '[\u0300-\u036f]', '', 'g'))`,
  },
})
