/**
 * Why a message is refused: each names one rule of RFC 9112 (or 9110). gateway/error.ts gives the status of a
 * request's; a response's is always 502.
 */
export type Fault =
  | "request-line" // RFC 9112 §3: method SP request-target SP HTTP-version CRLF
  | "target" // §3.2: none of the four forms, or an octet that is not allowed
  | "path" // dot segments or an encoded NUL: see path.ts
  | "target-too-long" // §3: 414
  | "version" // §2.3: HTTP/1.0 and HTTP/1.1 only: 505
  | "status-line" // §4
  | "line-end" // §2.2: a bare CR is invalid; a bare LF is refused (we MAY accept it and do not)
  | "field-name" // §5: token, no whitespace before the colon (§5.1), no line without a colon
  | "field-value" // RFC 9110 §5.5: CR, LF, NUL and other controls
  | "obs-fold" // §5.2
  | "head-too-large" // RFC 6585 §5: 431
  | "too-many-fields" // RFC 6585 §5: 431
  | "host" // §3.2: missing in HTTP/1.1, repeated, or not uri-host [":" port]
  | "content-length" // §6.3: repeated, a list, signed, not digits
  | "length-and-chunked" // §6.1: both
  | "transfer-encoding" // §6.1: chunked twice or not last, or in HTTP/1.0
  | "transfer-coding" // §6.1: a coding we do not have: 501
  | "chunk" // §7.1
  | "trailer" // §7.1.2
  | "trailer-too-large"
  | "truncated" // §8: the connection ended inside the message
