import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { resolveSettings } from "@dracpu/shared-proto/settings/settings.ts";
import { expect } from "chai";
import { LiveMachine } from "../../src/compose/livemachine.ts";
import { DRIVER_SETTINGS, driverSettings } from "../../src/config/settings.ts";
import { Ledger } from "../../src/ledger/ledger.ts";
import { Recording } from "../../src/topology/capture.ts";
import { readMachine } from "../../src/topology/read.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import { MACHINES, machine as overlayOf } from "../../../e2e/machines/build.ts";
import { Wholeness } from "../../src/topology/wholeness.ts";
import { twoSockets } from "../topology/machines.ts";

const CPU = "devices/system/cpu";
const NUMA1 = "devices/system/node/node1/cpulist";

/** Two sockets of eight CPUs, in files. */
class Files {
  readonly root = join(mkdtempSync(join(tmpdir(), "live-")), "sys");

  constructor() {
    const recording = new Recording(SysfsOverlay.parse(twoSockets(), undefined));
    readMachine(recording);
    for (const [path, text] of recording.files) this.write(path.slice("/sys/".length), text);
  }

  write(file: string, text: string): void {
    const path = join(this.root, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  breaks(file: string): void {
    const path = join(this.root, file);
    renameSync(path, `${path}.kept`);
    symlinkSync(path, path);
  }

  vanishes(file: string): void {
    const path = join(this.root, file);
    renameSync(path, `${path}.kept`);
  }

  heals(file: string): void {
    const path = join(this.root, file);
    rmSync(path, { force: true });
    renameSync(`${path}.kept`, path);
  }
}

describe("the machine in the midst of a hotplug", () => {
  let files: Files;
  let nowMs = 0;
  let changes: string[] = [];
  let lines: string[] = [];
  const note = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
    lines.push(fields?.["cause"] === undefined ? message : `${message}: ${JSON.stringify(fields["cause"])}`);
  };
  const live = (): LiveMachine => {
    const values = resolveSettings(DRIVER_SETTINGS, { "sysfs-root": files.root, "node-name": "a" }, {});
    const log = { debug: note, info: note, warn: note, error: note };
    return new LiveMachine(
      driverSettings(values),
      new Ledger(),
      log as never,
      (text) => changes.push(text),
      () => nowMs,
    );
  };
  const sizes = (of: LiveMachine): string[] =>
    of.parts.plan.devices.map(({ name, capacity }) => `${name} ${capacity?.["dra.cpu/cpu"]?.value ?? ""}`);
  const isSure = (of: LiveMachine): Promise<boolean> =>
    Promise.race([of.sure.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);
  const WHOLE = ["cpudevnuma000 7", "cpudevnuma001 8"];
  const told = (): string[] => lines.filter((line) => /whole|is taken/.test(line));

  beforeEach(() => {
    files = new Files();
    nowMs = 0;
    changes = [];
    lines = [];
  });
  afterEach(() => rmSync(dirname(files.root), { recursive: true }));

  for (const [how, file] of [
    ["breaks", NUMA1],
    ["breaks", `${CPU}/cpu4/topology/core_id`],
    ["vanishes", `${CPU}/cpu4/topology/physical_package_id`],
    ["vanishes", `${CPU}/cpu4/cache/index3/shared_cpu_list`],
  ] as const)
    it(`is as it was while ${file} ${how}, and is read again until it is read whole`, async () => {
      const of = live();
      expect(await isSure(of)).to.equal(true);
      expect(sizes(of)).to.deep.equal(WHOLE);
      const before = of.parts;
      files[how](file);
      for (const atMs of [0, 100, 1000, 4000]) {
        nowMs = atMs;
        expect(of.look(true)).to.equal(before);
      }
      expect(changes).to.deep.equal([]);
      expect(told()).to.have.length(1);
      files.heals(file);
      of.look();
      expect(sizes(of)).to.deep.equal(WHOLE);
      expect(told().at(-1)).to.equal("the machine was read whole again");
      expect(changes).to.deep.equal([]);
    });

  it("is without CPUs that went at once, has those that came once it is read whole, and says each cause once", () => {
    files.write(`${CPU}/online`, "0-14");
    const of = live();
    files.breaks(NUMA1);
    files.write(`${CPU}/online`, "0-13,15");
    of.look();
    expect(of.parts.machine.online.toString()).to.equal("0-13");
    expect(sizes(of)).to.deep.equal(["cpudevnuma000 7", "cpudevnuma001 6"]);
    of.look();
    files.breaks(`${CPU}/cpu4/topology/core_id`);
    of.look();
    expect(told()).to.have.length(2);
    expect(told()[0]).to.include(`node1/cpulist cannot be read (ELOOP)`);
    files.heals(`${CPU}/cpu4/topology/core_id`);
    files.heals(NUMA1);
    of.look();
    expect(of.parts.machine.online.toString()).to.equal("0-13,15");
    expect(sizes(of)).to.deep.equal(["cpudevnuma000 7", "cpudevnuma001 7"]);
  });

  it("that is not read whole is not published at a start, and by and by taken as it can be read", async () => {
    files.breaks(NUMA1);
    const of = live();
    expect(await isSure(of)).to.equal(false);
    nowMs = 4900;
    of.look();
    expect(await isSure(of)).to.equal(false);
    nowMs = 5000;
    of.look();
    expect(await isSure(of)).to.equal(true);
    expect(told().at(-1)).to.include("is taken as it can be read");
    const before = told().length;
    // What is taken costs no reading at each claim, and is no news.
    files.heals(NUMA1);
    of.look();
    expect(sizes(of)).not.to.deep.equal(WHOLE);
    of.look(true);
    expect(sizes(of)).to.deep.equal(WHOLE);
    expect(told()).to.have.length(before + 1);
  });

  it("reads itself again soon, and ends with its signal", async () => {
    files.breaks(NUMA1);
    const of = live();
    const controller = new AbortController();
    const ran = of.run(controller.signal);
    nowMs = 200;
    files.heals(NUMA1);
    const soon = new Promise((resolve) => setTimeout(() => resolve("not within a second"), 1000));
    expect(await Promise.race([of.sure, soon])).to.equal(undefined);
    controller.abort();
    await ran;
    expect(sizes(of)).to.deep.equal(WHOLE);
  });

  it("is not said of a real machine", () => {
    for (const name of MACHINES) {
      const tree = new Wholeness(SysfsOverlay.parse(overlayOf(name), undefined), true);
      readMachine(tree);
      expect(tree.missed(), name).to.equal("");
    }
  });
});
