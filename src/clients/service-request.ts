/** What all requests to another service have in common. */

/** The header that shows a key; nothing where there is none. */
export function bearer(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` }
}

/** The address of a path, such as `/stats?from=…`, of a service that may itself lie under a path, where a proxy stands before it. */
export function serviceUrl(address: string, path: string): string {
  return `${address.replace(/\/$/, '')}${path}`
}
