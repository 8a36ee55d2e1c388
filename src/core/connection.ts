/**
 * Takes `?options=…` out of a connection string. The driver lets it replace the options that are given beside it, and with
 * them the timeouts of every session; apart, the two can be joined.
 */
export function splitStartupOptions(connectionString: string): {
  readonly url: string
  readonly startupOptions: string
} {
  const url = new URL(connectionString)
  const startupOptions = url.searchParams.get('options') ?? ''
  url.searchParams.delete('options')
  return { url: url.href, startupOptions }
}
