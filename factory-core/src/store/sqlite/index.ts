export { openSqliteStore } from './store.js'
