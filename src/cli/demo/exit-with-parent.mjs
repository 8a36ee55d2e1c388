// Loaded first into each process that the demo starts: when the demo is gone, however it went (SIGKILL too), so are they.
// Plain JavaScript, so that it holds before any loader is there. Not process.exit: while a loader's thread is starting,
// that can wait for it for ever.
const leave = () => process.kill(process.pid, 'SIGKILL')

if (!process.connected) leave()
process.on('disconnect', leave)
// Listening must not keep a process alive that has ended its work.
process.channel?.unref()
