import { messageOf } from '../core/errors.ts'

const encoded = 'in a user or a password, write @ : / ? # % and spaces as %40 %3A %2F %3F %23 %25 %20'
const oneHost = 'several hosts are not supported: use one name that leads to the primary'

/**
 * Returns what is wrong with an address, without any part of it; null if it is right. With an unencoded / or # in a
 * password, its rest would be taken for the name of the database, and printed as such.
 */
export function addressFault(text: string): string | null {
  const [, authority = '', rest = ''] = /^[a-z]+:\/\/([^/?#]*)(.*)$/is.exec(text) ?? []
  const host = authority.slice(authority.lastIndexOf('@') + 1)
  if (!URL.canParse(text)) {
    if (/^[^@/?#]*@$/.test(authority) && !rest.includes('@'))
      return 'has no host: write user:password@localhost/database, followed by ?host=/directory for a Unix socket'
    if (/^[\w.-]+(:\d+)?(,[\w.-]+(:\d+)?)+$/.test(host)) return oneHost
    return `is not a valid URL: ${encoded}`
  }
  const { username, password, pathname, hash, searchParams } = new URL(text)
  if (host.includes(',') || searchParams.get('host')?.includes(',')) return oneHost
  if (searchParams.has('dbname'))
    return 'has the parameter dbname: write the name of the database after the host, host/database'
  if (pathname.includes('@') || hash !== '') return `is not a valid URL: ${encoded}`
  try {
    for (const part of [username, password, pathname]) decodeURIComponent(part)
    return null
  } catch {
    return `is not a valid URL: ${encoded}`
  }
}

/**
 * Turns libpq's address of a Unix socket, `user@/database?host=/directory`, into a URL that every parser accepts. The
 * host in it is not used.
 */
export function withHost(text: string): string {
  return /[?&]host=[^&]/.test(text) ? text.replace(/^([a-z]+:\/\/[^@/?#]*@)\//i, '$1localhost/') : text
}

/** Parameters that evenkeel sets in each session, and that the driver would let a URL replace. */
const ofSession = [
  'application_name',
  'fallback_application_name',
  'client_encoding',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'query_timeout',
  'replication',
]

/**
 * Removes parameters that would replace our timeouts and session names from a connection string. Returns `?options=…`
 * separately, so that the two can be joined.
 */
export function splitStartupOptions(connectionString: string): {
  readonly url: string
  readonly startupOptions: string
} {
  const url = new URL(connectionString)
  const startupOptions = url.searchParams.get('options') ?? ''
  for (const name of ['options', ...ofSession]) url.searchParams.delete(name)
  return { url: url.href, startupOptions }
}

/** Describes a failed connection, with advice if TLS is the cause. The system's message has none. */
export function explainConnection(error: unknown): string {
  const message = messageOf(error)
  const { code = '' } = error as { code?: string }
  if (unknownAuthority.has(code)) {
    return `${message}: no authority that is trusted here has signed the server's certificate. Add sslrootcert=/path/ca.pem to the URL, or set NODE_EXTRA_CA_CERTS=/path/ca.pem`
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `${message}: use the host name in the server's certificate`
  }
  if (/, no encryption$/.test(message)) {
    return `${message}: the server accepts no session without TLS. Add sslmode=verify-full to the URL`
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
