/** In place of `node:buffer`. In a browser text is never bytes that might not be UTF-8. */
export const isUtf8 = (): boolean => true
