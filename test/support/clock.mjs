// Preloaded into a service by a test: each SIGUSR2 puts the machine's clock six hours ahead, then six behind, and so on.
const RealDate = globalThis.Date
let shiftMs = 0

globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(RealDate.now() + shiftMs)
    else super(...given)
  }

  static now() {
    return RealDate.now() + shiftMs
  }
}

process.on('SIGUSR2', () => {
  shiftMs = shiftMs > 0 ? -6 * 3600_000 : 6 * 3600_000
  process.stderr.write(`it is ${new Date().toISOString()}\n`)
})
