/** What the random parts of the tests are drawn from. Another one each day; TEST_SEED plays one again. */
export const seed = Number(process.env.TEST_SEED || Math.floor(Date.now() / 86_400_000))
