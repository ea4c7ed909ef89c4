/** As a browser writes it: without the port that goes without saying. `host`: a name, or an address as URLs have it. */
export const originOf = (scheme: "http" | "https", host: string, port: number): string => `${scheme}://${host}${port === (scheme === "https" ? 443 : 80) ? "" : `:${port}`}`
