/** A string of JSON, and what may stand around those of an array. */
const string = /"(?:[^"\\]|\\.)*"/gs
const between = /^[\s,[\]]*$/

/**
 * The strings of a JSON array, as they come: of a file of a hundred megabytes no more than a chunk is in memory.
 * Throws where it is anything but an array of strings, or ends in the middle.
 */
export async function* stringsOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  // Of a letter that two chunks have halves of it keeps the first until the second comes.
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  let outside = ''
  for await (const chunk of chunks) {
    const text = rest + decoder.decode(chunk, { stream: true })
    const found: string[] = []
    let at = 0
    for (const match of text.matchAll(string)) {
      outside = checked(outside, text.slice(at, match.index))
      found.push(JSON.parse(match[0]) as string)
      at = match.index + match[0].length
    }
    // What follows the last whole string is the beginning of another one, or nothing that matters.
    const open = text.indexOf('"', at)
    outside = checked(outside, text.slice(at, open < 0 ? undefined : open))
    rest = open < 0 ? '' : text.slice(open)
    if (found.length > 0) yield found
  }
  if (rest !== '' || outside !== '[]')
    throw new Error('the names are not a JSON array of strings, or end in the middle')
}

/** The brackets that were seen so far. */
function checked(before: string, text: string): string {
  // Millions of times, as the file is written.
  if (text === ',\n  ') return before
  const now = before + text.replace(/[\s,]/g, '')
  if (!between.test(text) || !'[]'.startsWith(now)) throw new Error('the names are not a JSON array of strings')
  return now
}
