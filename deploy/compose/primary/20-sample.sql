-- A table to run on, with the columns that jobs/cities-*.ts fill.
CREATE TABLE countries (
  id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  code text NOT NULL UNIQUE,
  name text NOT NULL
);

CREATE TABLE cities (
  id          int PRIMARY KEY,
  name        text NOT NULL,
  country     text NOT NULL,
  population  int NOT NULL,
  longitude   float8 NOT NULL,
  latitude    float8 NOT NULL,
  search_name text,
  location    point,
  country_id  int REFERENCES countries
);

INSERT INTO countries (code, name)
VALUES ('AT', 'Austria'), ('BR', 'Brazil'), ('CZ', 'Czechia'), ('FR', 'France'), ('PL', 'Poland'), ('SE', 'Sweden');

INSERT INTO cities (id, name, country, population, longitude, latitude)
SELECT n,
  (ARRAY['Bad', 'São', 'Český', 'Sainte', 'Łąka', 'Östra'])[1 + n % 6] || ' '
    || (ARRAY['Mühl', 'João', 'Brod', 'Hélène', 'Górna', 'Ängen', 'Tomé'])[1 + n % 7] || ' ' || n,
  (ARRAY['AT', 'BR', 'CZ', 'FR', 'PL', 'SE'])[1 + n % 6],
  n % 100003,
  (n * 7919::bigint % 360000) / 1000.0 - 180,
  (n * 104729::bigint % 180000) / 1000.0 - 90
FROM generate_series(1, 300000) AS n;

ANALYZE countries, cities;

GRANT SELECT ON public.countries TO evenkeel;
GRANT SELECT ON public.cities TO evenkeel;
GRANT UPDATE (search_name, location, country_id) ON public.cities TO evenkeel;
