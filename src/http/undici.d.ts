// undici's own file, so that the bundle holds the parts in use and not its fetch, WebSocket and cache.
declare module 'undici/lib/dispatcher/agent.js' {
  export { Agent as default } from 'undici'
}
