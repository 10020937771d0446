/** Unix seconds. Only the log's time column depends on it. */
export type Clock = () => number

export const systemClock: Clock = () => Math.floor(Date.now() / 1000)
