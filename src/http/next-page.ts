import type { FastifyRequest } from 'fastify'

/** A page of a list ends with the row that brings it to so many bytes, and says where the next one begins. */
export const PAGE_BYTES_MAX = 8 * 1024 * 1024

/** The `Link` header (RFC 8288) of the next page: the address of this one, with `changed` in the place of what it had. */
export function nextPageLink({ url, query }: FastifyRequest, changed: Record<string, string>): string {
  const parameters = new URLSearchParams({ ...(query as Record<string, string>), ...changed })
  return `<${url.split('?', 1)[0]}?${parameters}>; rel="next"`
}
