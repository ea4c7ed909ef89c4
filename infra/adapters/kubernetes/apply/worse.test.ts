import { expect, test } from "vitest"
import type { Condition } from "../../../../bus/kinds/status.ts"
import { ApiError } from "../api-error.ts"
import { refusalOf } from "./refusal.ts"
import { worse } from "./worse.ts"

const condition = (type: string, status: Condition["status"], reason: string): Condition => ({ type, status, reason, message: "Why.", observedGeneration: 1 })

test.for<[what: string, before: Condition | undefined, now: Condition, told: boolean]>([
  ["Accepted was True and is False", condition("Accepted", "True", "Accepted"), condition("Accepted", "False", "NoMatchingParent"), true],
  ["False from the beginning", undefined, condition("Accepted", "False", "NotAllowedByListeners"), true],
  ["False for another reason", condition("ResolvedRefs", "False", "InvalidKind"), condition("ResolvedRefs", "False", "BackendNotFound"), true],
  ["False as before", condition("ResolvedRefs", "False", "BackendNotFound"), condition("ResolvedRefs", "False", "BackendNotFound"), false],
  ["True", condition("Accepted", "False", "Invalid"), condition("Accepted", "True", "Accepted"), false],
  ["not yet", condition("Programmed", "True", "Programmed"), condition("Programmed", "False", "Pending"), false],
  ["no pod yet", undefined, condition("Programmed", "False", "NoResources"), false],
  ["no pod any more", condition("Programmed", "True", "Programmed"), condition("Programmed", "False", "NoResources"), true],
  ["no conflict", undefined, condition("Conflicted", "False", "NoConflicts"), false],
  ["a conflict", condition("Conflicted", "False", "NoConflicts"), condition("Conflicted", "True", "HostnameConflict"), true],
  ["in part", undefined, condition("PartiallyInvalid", "True", "UnsupportedValue"), true],
])("%s", ([, before, now, told]) => {
  expect(worse("Listener web: ", [now], before === undefined ? undefined : [before])).toEqual(told ? [{ reason: now.reason, message: `Listener web: ${now.type} is ${now.status}: Why.` }] : [])
})

test.for<[status: number, message: string, reason: string | undefined]>([
  [403, 'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1', "QuotaExceeded"],
  [403, 'services is forbidden: User "a" cannot create resource "services"', "Forbidden"],
  [403, 'serviceaccounts "a" is forbidden: unable to create new content in namespace x because it is being terminated', "NamespaceTerminating"],
  [400, 'admission webhook "w.example" denied the request: no', "AdmissionRefused"],
  [500, 'admission webhook "w.example" denied the request: no', "AdmissionRefused"],
  [422, "services \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no", "AdmissionRefused"],
  [422, 'Service "a" is invalid: spec.ports: Required value', "Invalid"],
  [409, "Operation cannot be fulfilled", "Conflict"],
  [404, 'namespaces "x" not found', "NoSuchNamespace"],
  [404, "the server could not find the requested resource", "NoSuchApi"],
  [429, "too many", undefined],
  [500, "etcdserver: leader changed", undefined],
  [0, "connect ECONNREFUSED", undefined],
])("%i %s", ([status, message, reason]) => {
  expect(refusalOf(new ApiError({ status, reason: "", message }))?.reason).toBe(reason)
})
