import { messageOf } from './errors.ts'

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

/** What kept a connection from being made, and what to do where that is about TLS: the system's own words do not say. */
export function explainConnection(error: unknown): string {
  const message = messageOf(error)
  const { code = '' } = error as { code?: string }
  if (unknownAuthority.has(code)) {
    return `${message}: the server's certificate is signed by nobody who is trusted here. Add sslrootcert=/path/ca.pem to the URL, or set NODE_EXTRA_CA_CERTS=/path/ca.pem`
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `${message}: call the server by the name that stands in its certificate`
  }
  if (/, no encryption$/.test(message)) {
    return `${message}: the server takes no session without TLS. Add sslmode=verify-full to the URL`
  }
  return message
}

const unknownAuthority = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])
