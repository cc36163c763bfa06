import { join } from "node:path";
import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import type { DriverSettings } from "../config/settings.ts";
import { CdiDirectory } from "../disk/cdidirectory.ts";
import { MetadataDirectory } from "../disk/metadatadirectory.ts";
import type { DevicePlan } from "../slices/plan.ts";

/** The claims' files. Metadata lies below the kubelet's directory, which runtime and driver see at the same path. */
export function cdiOf(settings: DriverSettings, plan: () => DevicePlan): CdiDirectory {
  if (!settings.deviceMetadata) return new CdiDirectory(settings.cdiDir);
  const root = join(settings.kubeletRootDir, "plugins", DRIVER_NAME, "device-metadata");
  return new CdiDirectory(
    settings.cdiDir,
    new MetadataDirectory(root, (name) => {
      const { devices, individual } = plan();
      return [...devices, ...individual].find((device) => device.name === name)?.attributes ?? {};
    }),
  );
}
