import { HostRpcError, type HostRpc } from '../../src/rpc/index.js'

export type Answer = (params: Record<string, unknown>) => unknown

/** A stand-in for lightningd: answers by method, and notes what it was asked. */
export class FakeRpc implements HostRpc {
  readonly calls: { readonly method: string; readonly params: Record<string, unknown> }[] = []

  constructor(readonly answers: Record<string, Answer>) {}

  async call(method: string, params: object = {}): Promise<unknown> {
    await Promise.resolve()
    this.calls.push({ method, params: { ...params } })
    const answer = this.answers[method]
    if (answer === undefined) throw new HostRpcError(method, -32601, `Unknown command '${method}'`)
    return answer({ ...params })
  }

  count(method: string): number {
    return this.calls.filter((c) => c.method === method).length
  }
}

export const refuse =
  (code: number, message: string): Answer =>
  () => {
    throw new HostRpcError('method', code, message)
  }
