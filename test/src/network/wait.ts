/** Milliseconds. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

type Falsy = undefined | null | false | 0 | ''

export interface Patience {
  /** What is waited for, as it ends the sentence "gave up waiting for …". */
  readonly what: string
  /** Default 60. Generous on purpose: a limit is there to end a hang, never to measure speed. */
  readonly seconds?: number
}

/**
 * Asks again and again until the answer is truthy, and returns it. A condition that throws counts as "not yet"; its last
 * error becomes the cause of the final one.
 */
export async function until<T>(
  condition: () => Promise<T | Falsy> | T | Falsy,
  { what, seconds = 60 }: Patience,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000
  let pause = 20
  let last: unknown
  for (;;) {
    try {
      const answer = await condition()
      if (answer !== undefined && answer !== null && answer !== false && answer !== 0 && answer !== '') return answer
      last = undefined
    } catch (error) {
      last = error
    }
    if (Date.now() >= deadline) {
      const said = last instanceof Error ? `; last error: ${last.message}` : ''
      throw new Error(`gave up waiting for ${what} after ${seconds} s${said}`, { cause: last })
    }
    await sleep(pause)
    pause = Math.min(pause * 1.5, 500)
  }
}
