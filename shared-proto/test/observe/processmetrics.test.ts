import { expect } from "chai";
import { Registry } from "prom-client";
import { watchProcess } from "../../src/observe/processmetrics.ts";

describe("a process's metrics", () => {
  it("have its CPU, memory and files, and of the event loop's lag what nobody has to be woken for", async () => {
    const registry = new Registry();
    watchProcess(registry);
    const text = await registry.metrics();
    for (const name of ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"])
      expect(text).to.match(new RegExp(`^${name} [0-9.]+`, "m"));
    expect(text.match(/^nodejs_eventloop_lag\w*/gm)).to.deep.equal(["nodejs_eventloop_lag_seconds"]);
  });
});
