import { generate } from 'selfsigned'

export interface Certificate {
  readonly key: string
  readonly cert: string
}

const days = 24 * 3600 * 1000

/** An authority that nobody knows but who is given its certificate. */
export async function createAuthority(name: string): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: name }], {
    algorithm: 'sha256',
    notAfterDate: new Date(Date.now() + 2 * days),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, digitalSignature: true, critical: true },
    ],
  })
  return { key, cert }
}

/** A server's certificate for a name of DNS, signed by the authority. */
export async function createCertificate(authority: Certificate, host: string): Promise<Certificate> {
  const { private: key, cert } = await generate([{ name: 'commonName', value: host }], {
    algorithm: 'sha256',
    notAfterDate: new Date(Date.now() + days),
    ca: authority,
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'subjectAltName', altNames: [{ type: 2, value: host }] },
    ],
  })
  return { key, cert }
}
