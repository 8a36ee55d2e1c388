/** A JSON string, and the characters allowed around the strings of an array. */
const string = /"(?:[^"\\]|\\.)*"/gs
const between = /^[\s,[\]]*$/

/**
 * Yields the strings of a JSON array while it is read. Of a file of a hundred megabytes only a chunk is in memory.
 * Throws if the text is not an array of strings, or ends in the middle.
 */
export async function* stringsOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  // Keeps the first half of a letter that is split between two chunks until the second arrives.
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
    // After the last complete string comes the beginning of another, or nothing that matters.
    const open = text.indexOf('"', at)
    outside = checked(outside, text.slice(at, open < 0 ? undefined : open))
    rest = open < 0 ? '' : text.slice(open)
    if (found.length > 0) yield found
  }
  if (rest !== '' || outside !== '[]')
    throw new Error('the names are not a JSON array of strings, or end in the middle')
}

/** The brackets seen so far. */
function checked(before: string, text: string): string {
  // The common case, millions of times.
  if (text === ',\n  ') return before
  const now = before + text.replace(/[\s,]/g, '')
  if (!between.test(text) || !'[]'.startsWith(now)) throw new Error('the names are not a JSON array of strings')
  return now
}
