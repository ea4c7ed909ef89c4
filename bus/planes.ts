/**
 * Data planes by name, and what is made for them: functions say it, and who reads Secrets goes by it. Whoever may name a
 * Gateway must not come by the name that is another's, so what stands for a long name is too long to be searched for.
 */
import { hash } from "node:crypto"

/**
 * What the names of data planes of shared pods begin with; those of a Gateway's own with its namespace and a dot. No
 * namespace has a capital letter: otherwise a Gateway in one of this name would have the data plane of a class.
 */
export const CLASS_PLANE = "Class."

/** Of the pods of one Gateway. A label's value of at most 40 characters, as all of these. */
export const gatewayPlane = (namespace: string, name: string): string => shortened(`${namespace}.${name}`)

/** Of the pods that Gateways of a class share. */
export const classPlane = (name: string): string => shortened(`${CLASS_PLANE}${name}`)

const LONGEST_PLANE = 40
/** 80 bits. */
const DIGITS = 20
const shortened = (plane: string): string => (plane.length <= LONGEST_PLANE ? plane : `${plane.slice(0, LONGEST_PLANE - DIGITS - 1)}-${hash("sha256", plane).slice(0, DIGITS)}`)

/**
 * Of what is made in a cluster for a Gateway or a class; a DNS label (RFC 1123) of at most 60 characters. `of`: what
 * tells it from others of that name.
 *
 * @param digits 8 among objects of one namespace's own; 20 where Gateways of several namespaces have theirs
 */
export const objectName = (name: string, of: string, digits: 8 | 20 = 8): string => `headgate-${name.slice(0, 30).replaceAll(".", "-")}-${hash("sha256", of).slice(0, digits)}`
