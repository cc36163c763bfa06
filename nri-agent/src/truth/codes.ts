import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { Code } from "@dracpu/shared-proto/codes/code.ts";
import type { RefusalReason } from "./admit.ts";

/** What people can look up about each refusal. */
export const REFUSAL_CODES: Readonly<Record<RefusalReason, Code>> = {
  FORGED_VARIABLE: CODES.variableForged,
  MALFORMED_VARIABLE: CODES.markMalformed,
  TRUTH_UNKNOWN: CODES.truthUnknown,
  CLAIM_UNKNOWN: CODES.claimUnknown,
  CLAIM_RELEASED: CODES.claimReleased,
  REQUEST_UNKNOWN: CODES.requestUnknown,
  RESERVATION_UNKNOWN: CODES.reservationUnknown,
  OTHER_POD_LIVES: CODES.otherPodLives,
  CPUS_OFFLINE: CODES.cpusOffline,
  CDI_LEFT_OUT: CODES.cdiOff,
  ISOLATION_CLASH: CODES.isolationClash,
  NOT_ENFORCED: CODES.startRefused,
};
