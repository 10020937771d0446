export { MemoryDisk, openMemoryStore } from './store.js'
