import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { machine as overlayOf, MACHINES } from "../../../e2e/machines/build.ts";
import type { Attribute, Device } from "../../src/slices/device.ts";
import { GROUP_BY } from "../../src/slices/groups.ts";
import { planDevices, type DeviceOptions } from "../../src/slices/plan.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import { readMachine } from "../../src/topology/read.ts";

// One file a machine and mode, one line a device. A change of what is published has to be seen in a review:
// `UPDATE_GOLDEN=1 npx mocha driver/test/slices/golden.test.ts` writes the files anew.
const GOLDEN = join(import.meta.dirname, "golden");
const MODES: readonly (readonly [string, Pick<DeviceOptions, "mode" | "groupBy">])[] = [
  ...GROUP_BY.map((groupBy) => [groupBy, { mode: "grouped", groupBy }] as const),
  ["individual", { mode: "individual", groupBy: "numanode" }],
];

function shown(attribute: Attribute): string {
  return Object.values(attribute).map(String).join();
}

/** What all devices say first, then each device with what only some say. */
function golden(devices: readonly Device[]): string {
  const rows = devices.map((device) => ({
    name: device.name,
    fields: new Map([
      ...Object.entries(device.attributes).map(([key, value]) => [key, shown(value)] as const),
      ...Object.entries(device.capacity ?? {}).map(([key, { value, requestPolicy: policy }]) => {
        const range = policy?.validRange;
        const values = range === undefined ? `[${policy?.validValues?.join() ?? ""}]` : `${range.min}+${range.step}n`;
        return [`capacity ${key}`, `${value} of ${values} default ${policy?.default ?? ""}`] as const;
      }),
      ["shared", String(device.allowMultipleAllocations ?? false)] as const,
    ]),
  }));
  const [first] = rows;
  const same = new Map(
    [...(first?.fields ?? [])].filter(([key, value]) => rows.every((row) => row.fields.get(key) === value)),
  );
  const line = (fields: ReadonlyMap<string, string>): string =>
    [...fields].map(([key, value]) => `${key.replace("dra.cpu/", "")}=${value}`).join(" ");
  const lines = rows.map((row) => {
    const own = [...row.fields].filter(([key, value]) => same.get(key) !== value);
    // Three names of one value; told once.
    const told = own.filter(([key]) => key !== "dra.cpu/numaNodeID" && key !== "dra.net/numaNode");
    for (const key of ["dra.cpu/numaNodeID", "dra.net/numaNode"])
      expect(row.fields.get(key)).to.equal(row.fields.get("resource.kubernetes.io/numaNode"));
    return `${row.name} ${line(new Map(told))}`.trimEnd();
  });
  return [`all: ${line(same)}`, ...lines, ""].join("\n");
}

describe("devices of every machine", () => {
  mkdirSync(GOLDEN, { recursive: true });
  for (const name of MACHINES) {
    it(`${name} as before, in every mode`, () => {
      const machine = readMachine(SysfsOverlay.parse(overlayOf(name), undefined));
      for (const [mode, which] of MODES) {
        const { devices } = planDevices(machine, { ...which, reserved: CpuSet.empty, keepShared: 1 });
        const file = join(GOLDEN, `${name}.${mode}.txt`);
        const text = golden(devices);
        if (process.env["UPDATE_GOLDEN"] !== undefined) writeFileSync(file, text);
        expect(existsSync(file), `${file}: run with UPDATE_GOLDEN=1`).to.equal(true);
        expect(text, `${name}, ${mode}`).to.equal(readFileSync(file, "utf8"));
        for (const device of devices)
          expect(Object.keys(device.attributes).length + Object.keys(device.capacity ?? {}).length).to.be.at.most(32);
      }
    });
  }
});
