// The whole of undici: its proxy agent calls methods that only the package's index adds. Loaded where a proxy is set.
import { type Dispatcher, EnvHttpProxyAgent } from 'undici'

export type ProxySettings = { http?: string | undefined; https?: string | undefined; except?: string | undefined }

/** Connections through the proxies for http and https, around them for the hosts that are excepted. */
export function createProxyDispatcher(
  settings: object,
  { http = '', https = '', except = '' }: ProxySettings,
): Dispatcher {
  return new EnvHttpProxyAgent({
    ...settings,
    // The connection to the proxy itself; the settings speak of the one through it.
    proxyTls: { allowH2: false },
    httpProxy: http,
    httpsProxy: https,
    noProxy: except,
  })
}
