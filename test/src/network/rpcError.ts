/** A node's own refusal, with its own code and words. */
export class RpcError extends Error {
  override readonly name = 'RpcError'

  constructor(
    readonly method: string,
    readonly code: number,
    message: string,
    readonly data?: unknown,
  ) {
    super(`${method}: ${message} (${code})`)
  }
}
