import { Code, ConnectError } from "@connectrpc/connect";
import { ERROR_CLAIMS, ERROR_CODE } from "@dracpu/shared-proto/contract/names.ts";
import { ContractFault, type ContractCode } from "../enforce/contract.ts";

const CODES: Readonly<Record<ContractCode, Code>> = {
  "epoch-too-low": Code.FailedPrecondition,
  "revision-gap": Code.FailedPrecondition,
  "digest-mismatch": Code.FailedPrecondition,
  protocol: Code.FailedPrecondition,
  "bad-message": Code.InvalidArgument,
  disk: Code.Unavailable,
  stopping: Code.Unavailable,
};

/** The contract's faults as Connect errors; anything else is a defect and INTERNAL. */
export function toStatus(cause: unknown): ConnectError {
  if (cause instanceof ConnectError) return cause;
  if (cause instanceof ContractFault)
    return new ConnectError(cause.message, CODES[cause.code], {
      [ERROR_CODE]: cause.code,
      ...(cause.claims.length === 0 ? {} : { [ERROR_CLAIMS]: cause.claims.join(",") }),
    });
  return new ConnectError((cause as Error).message, Code.Internal);
}
