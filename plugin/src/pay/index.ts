export { invoice } from './invoice.js'
export { pay } from './pay.js'
