import type { IncomingMessage } from 'node:http'
import { isSafeNumber } from 'lossless-json'
import { Problem } from '../../core/errors.ts'
import type { App } from '../server.ts'

/** How much of a body that is too large is read and discarded, so that its sender can read the answer. Bytes. */
const maxDiscardedBytes = 16 * 1024 * 1024
/** For how long such a body is read. Milliseconds. */
const maxDiscardMs = 5000

/**
 * Parses JSON bodies and refuses other content types. An empty body counts as absent, whatever its content type: many
 * clients send `content-type: application/json` with every POST. For a stop command an unreadable body counts as absent
 * too.
 */
export function bodies(app: App): void {
  // Fastify's own parser for plain text would pass the text on as a body.
  app.removeContentTypeParser('text/plain')
  app.addHook('onRequest', async ({ raw, routeOptions }) => {
    // This covers content types that Fastify refuses before it looks for a parser.
    if (routeOptions.config.brake && 'content-type' in raw.headers) raw.headers['content-type'] = 'application/json'
  })
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') return done(null, undefined)
    const isBrake = request.routeOptions.config.brake
    parseJson(request, text, (error, body) => {
      if (isBrake) return done(null, error ? undefined : body)
      if (error) return done(error)
      try {
        refuseInexactNumbers(text)
        done(null, body)
      } catch (problem) {
        done(problem as Error)
      }
    })
  })
  app.addContentTypeParser<string>('*', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') return done(null, undefined)
    const type = request.headers['content-type']
    done(
      new Problem(
        'unsupported',
        `The body has ${type === undefined ? 'no content-type' : `content-type ${JSON.stringify(type)}`}. Send JSON with the header content-type: application/json (curl: -H 'content-type: application/json').`,
      ),
    )
  })
}

/** Matches the strings and numbers of a valid JSON text. */
const stringsAndNumbers = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g

/** JavaScript rounds numbers it cannot hold: 9007199254740993 would address a different row than the client named. */
function refuseInexactNumbers(text: string): void {
  const number = text.match(stringsAndNumbers)?.find((token) => !token.startsWith('"') && !isSafeNumber(token))
  if (number === undefined) return
  throw new Problem(
    'invalid',
    `evenkeel cannot read the number ${number} in the body exactly: it reads numbers with 53 bits. Send it as a string: "${number}".`,
  )
}

/**
 * Reads and discards the rest of a request's body. If the connection closes while the client still writes, most clients
 * report a broken connection instead of the answer.
 */
export function discardBody(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0
    const timer = setTimeout(done, maxDiscardMs)
    function count(chunk: Buffer) {
      bytes += chunk.length
      if (bytes > maxDiscardedBytes) done()
    }
    function done() {
      clearTimeout(timer)
      request.off('data', count)
      request.pause()
      resolve()
    }
    request.once('end', done).once('close', done).on('data', count).resume()
  })
}
