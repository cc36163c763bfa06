import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "@grpc/grpc-js";
import { expect } from "chai";
import { listenOn } from "../../src/kubelet/sockets.ts";

describe("a socket for the kubelet", () => {
  it("that cannot be made leaves no server behind", async () => {
    const dir = mkdtempSync(join(tmpdir(), "so-"));
    const servers = new Set<Server>();
    const end = Server.prototype.forceShutdown;
    Server.prototype.forceShutdown = function (this: Server) {
      servers.delete(this);
      end.call(this);
    };
    try {
      const path = join(dir, "gone", "dra.sock");
      const failed = await listenOn(path, (server) => servers.add(server)).catch((cause: unknown) => cause);
      expect((failed as Error).message).to.include(`Cannot listen on ${path}`);
      expect(servers.size).to.equal(0);
    } finally {
      Server.prototype.forceShutdown = end;
      rmSync(dir, { recursive: true });
    }
  });
});
