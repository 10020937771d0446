import { describe, expect, it } from 'vitest'
import { blocks } from '../../src/units/index.js'
import { Net, payloadOf } from '../simulation/net.js'

describe('an LSP that aborts after the client has checked its channel', () => {
  it('is not believed before the expiry, and forgotten then', async () => {
    const net = await Net.of(11, 2)
    // The second client's answer never comes, so that the LSP gives up when the first is ready.
    net.world.wire = (from, _to, body) =>
      from === net.client(1) && payloadOf(body)?.kind === 'channel_ready' ? [] : [body]
    const { instance, outcome } = await net.order(net.request({ lifetime: blocks(300) }))
    await net.world.calm()
    expect(await outcome).toMatch(/no answer within/)
    const shown = await net.show(net.client(0), instance)
    expect(shown?.phase).toBe('confirming')
    expect(shown?.notice).toMatch(/The LSP aborted/)
    await net.world.mine((shown?.expiry ?? 0) - net.world.chain.height - 1)
    expect((await net.show(net.client(0), instance))?.phase).toBe('confirming')
    await net.world.mine(1)
    expect((await net.show(net.client(0), instance))?.phase).toBe('aborted')
    expect(net.host(net.client(0)).mine.size).toBe(0)
  })
})
