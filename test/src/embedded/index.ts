export { Fuse } from './fuse.js'
export { LdkNetwork, SHORT } from './network.js'
export { LdkFactoryNode } from './node.js'
export { addWallet, fundWallet, logOf } from './wallet.js'
