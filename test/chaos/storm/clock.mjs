// Loaded first into each process of the storm: a number of milliseconds that it is sent is how far its wall clock is off from
// then on. The machine's own clock cannot be set by a test; what this process believes to be the time can. Clocks that only
// measure (performance, timers) never jump, here as anywhere.
const RealDate = Date
let off = 0

globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(RealDate.now() + off)
    else super(...given)
  }

  static now() {
    return RealDate.now() + off
  }
}

process.on('message', (milliseconds) => {
  off = milliseconds
})
// Listening must not keep a process alive that has ended its work.
process.channel?.unref()
