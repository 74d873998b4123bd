/**
 * Certificate policies (RFC 5280, 6.1.3 to 6.1.5; RFC 9618). Any policy will do, none is required.
 *
 * A level holds the policies that are valid at a depth, each with those that are expected below.
 */

import { OID, SEQUENCE, context, expect, fieldsOf, oidText, smallInteger } from "./asn1.mjs";

const ANY = "2.5.29.32.0";

export function parsePolicies(value) {
  return expect(value, SEQUENCE).children.map((each) => oidText(fieldsOf(each).required(OID)));
}

export function parseMappings(value) {
  return expect(value, SEQUENCE).children.map((each) => {
    const fields = fieldsOf(each);
    return { from: oidText(fields.required(OID)), to: oidText(fields.required(OID)) };
  });
}

export function parsePolicyConstraints(value) {
  const fields = fieldsOf(value);
  const explicit = fields.maybe(context(0), false);
  const mapping = fields.maybe(context(1), false);
  const number = (field) => (field === null ? Infinity : smallInteger(field));
  return { explicit: number(explicit), mapping: number(mapping) };
}

/**
 * Whether a path (signer first, root last) keeps the rules of policies, down to the first
 * certificate of which something about them could not be read.
 */
export function keepsPolicies(path) {
  const below = path.slice(0, -1).reverse();
  const count = below.length;
  const state = { explicit: count + 2, mapping: count + 2, any: count + 2 };
  let level = new Map([[ANY, new Set([ANY])]]);
  if (path[path.length - 1].policiesUnread) return true;
  if (count > 0) constrain(state, path[path.length - 1]);
  for (const [i, certificate] of below.entries()) {
    if (certificate.policiesUnread) return true;
    const last = i === count - 1;
    level = nextLevel(state, level, certificate, last);
    if (state.explicit <= 0 && level.size === 0) return false;
    if (last) return wrapUp(state, level, certificate);
    const mapped = applyMappings(state, level, certificate.mappings);
    if (mapped === null) return false;
    level = mapped;
    constrain(state, certificate);
  }
  return true;
}

function wrapUp(state, level, certificate) {
  const explicit = Math.max(0, state.explicit - 1);
  const zero = explicit === 0 || certificate.policyConstraints?.explicit === 0;
  return !zero || level.size > 0;
}

function nextLevel(state, level, certificate, last) {
  const next = new Map();
  if (certificate.policies === null || level.size === 0) return next;
  for (const policy of certificate.policies) {
    if (policy === ANY) continue;
    const expected = [...level.values()].some((set) => set.has(policy));
    if (expected || level.has(ANY)) next.set(policy, new Set([policy]));
  }
  const anyCounts = state.any > 0 || (!last && certificate.selfIssued);
  if (!certificate.policies.includes(ANY) || !anyCounts) return next;
  for (const set of level.values()) {
    for (const policy of set) {
      if (!next.has(policy)) next.set(policy, new Set([policy]));
    }
  }
  return next;
}

function applyMappings(state, level, mappings) {
  if (mappings === null) return level;
  if (mappings.some(({ from, to }) => from === ANY || to === ANY)) return null;
  const result = new Map(level);
  for (const from of new Set(mappings.map((each) => each.from))) {
    const to = new Set(mappings.filter((each) => each.from === from).map((each) => each.to));
    if (state.mapping <= 0) result.delete(from);
    else if (level.has(from) || level.has(ANY)) result.set(from, to);
  }
  return result;
}

function constrain(state, certificate) {
  if (!certificate.selfIssued) {
    state.explicit = Math.max(0, state.explicit - 1);
    state.mapping = Math.max(0, state.mapping - 1);
    state.any = Math.max(0, state.any - 1);
  }
  const { policyConstraints, inhibitAny } = certificate;
  if (policyConstraints !== null) {
    state.explicit = Math.min(state.explicit, policyConstraints.explicit);
    state.mapping = Math.min(state.mapping, policyConstraints.mapping);
  }
  if (inhibitAny !== null) state.any = Math.min(state.any, inhibitAny);
}
