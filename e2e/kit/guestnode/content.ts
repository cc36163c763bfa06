import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { binary } from "../../build/build.ts";
import { Containerd } from "../containerd/containerd.ts";
import { makeDisk } from "../guest/image.ts";

/**
 * Writes a disk with a containerd's root directory that has these images (tar archives) and the test image, unpacked. They are imported on this
 * machine, where it takes seconds; an emulated one needs minutes.
 */
export async function makeContentDisk(archives: readonly string[], disk: string): Promise<void> {
  const containerd = new Containerd("2.4");
  try {
    await containerd.start();
    for (const archive of archives)
      await promisify(execFile)(binary("containerd", "ctr"), [
        ...["-a", containerd.socket, "-n", "k8s.io", "images", "import", "--local", archive],
      ]);
    await containerd.daemon.stop();
    makeDisk(join(containerd.dir, "ctd", "root"), disk, 200);
  } finally {
    await containerd.stop();
  }
}
