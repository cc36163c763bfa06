import { expect } from "chai";
import fc from "fast-check";
import { eventMask, SUBSCRIBED } from "../../src/nri/events.ts";
import { MuxFault, MuxReader, muxFrames } from "../../src/nri/mux.ts";
import { MAX_DATA, TtrpcFault, TtrpcReader, ttrpcHeader, type TtrpcMessage } from "../../src/nri/ttrpc.ts";
import { nriAbilities } from "../../src/nri/version.ts";

function readAll(chunks: readonly Uint8Array[]): Map<number, TtrpcMessage[]> {
  const found = new Map<number, TtrpcMessage[]>();
  const readers = new Map<number, TtrpcReader>();
  const mux = new MuxReader((conn, bytes) => {
    if (!readers.has(conn)) {
      found.set(conn, []);
      readers.set(conn, new TtrpcReader((message) => found.get(conn)?.push(message)));
    }
    readers.get(conn)?.push(bytes);
  });
  for (const chunk of chunks) mux.push(chunk);
  return found;
}

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const points = [...new Set(at.map((n) => n % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...points].map((from, n) => bytes.subarray(from, points[n] ?? bytes.length));
}

describe("NRI framing", () => {
  it("gives the same messages however the bytes are cut", () => {
    const message = fc.record({
      conn: fc.constantFrom(1, 2),
      stream: fc.nat(1000),
      type: fc.constantFrom(1, 2, 3, 9),
      data: fc.uint8Array({ maxLength: 200 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 6 }),
        fc.array(fc.nat(5000), { maxLength: 12 }),
        (messages, points) => {
          const bytes = Buffer.concat(
            messages.map((one) => muxFrames(one.conn, ttrpcHeader(one.stream, one.type, one.data.length), one.data)),
          );
          const found = readAll(cut(bytes, points));
          for (const conn of [1, 2]) {
            const want = messages
              .filter((one) => one.conn === conn)
              .map((one) => ({ stream: one.stream, type: one.type, flags: 0, data: one.data }));
            expect(found.get(conn) ?? []).to.deep.equal(want);
          }
        },
      ),
    );
  });

  it("writes header and payload as a frame each, the first well below 4,096 bytes, and none that is empty", () => {
    const frames = Buffer.from(muxFrames(1, ttrpcHeader(7, 2, 100_000), new Uint8Array(100_000)));
    expect(frames.readUInt32BE(4)).to.equal(10);
    expect(frames.readUInt32BE(8 + 10 + 4)).to.equal(100_000);
    expect(muxFrames(1, ttrpcHeader(7, 2, 0), new Uint8Array(0)).length).to.equal(18);
  });

  it("skips exactly a message that is too long, and goes on", () => {
    const found: TtrpcMessage[] = [];
    const reader = new TtrpcReader((message) => found.push(message));
    reader.push(ttrpcHeader(5, 1, MAX_DATA + 3));
    for (let left = MAX_DATA + 3; left > 0; left -= 1 << 20) reader.push(new Uint8Array(Math.min(left, 1 << 20)));
    reader.push(ttrpcHeader(7, 1, 0));
    expect(found.map((one) => [one.stream, one.data, one.skipped?.length, one.skipped?.head.length])).to.deep.equal([
      [5, undefined, MAX_DATA + 3, 256],
      [7, new Uint8Array(0), undefined, undefined],
    ]);
  });

  it("says of bytes that cannot be ttrpc what they announce", () => {
    const reader = new TtrpcReader(() => {});
    expect(() => reader.push(new TextEncoder().encode("GET / HTTP/1.1\r\n"))).to.throw(TtrpcFault, "this is not ttrpc");
  });

  it("never throws anything but its own fault on arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
        try {
          readAll(chunks);
        } catch (cause) {
          expect(cause instanceof TtrpcFault || cause instanceof MuxFault, String(cause)).to.equal(true);
        }
      }),
    );
  });

  it("subscribes to known events only, and never to all", () => {
    expect(eventMask(SUBSCRIBED)).to.equal(0x6f8 | 0x100 | 0x80 | 0x10);
    expect(eventMask(SUBSCRIBED) & ~0x7ff).to.equal(0);
  });
});

describe("NRI abilities", () => {
  for (const [name, version, nriVersion, cdiVisible, canUpdate] of [
    ["containerd", "v2.4.2", "v0.12.3", true, true],
    ["containerd", "v2.3.1", "v0.12.0", true, false],
    ["containerd", "v2.1.9", undefined, false, false],
    ["containerd", "2.2.0", undefined, true, false],
    ["containerd", "v2.2.5-rc.1", undefined, true, false],
    ["containerd", "v2.5.0", undefined, true, true],
    ["cri-o", "1.36.0", undefined, false, false],
    ["containerd", "unknown", "(devel)", false, false],
    ["containerd", "v2.4.2", "unknown", true, true],
  ] as const) {
    it(`${name} ${version}, NRI ${nriVersion ?? "not told"}: CDI ids ${cdiVisible ? "" : "not "}visible, unsolicited updates ${canUpdate ? "safe" : "not safe"}`, () => {
      expect(nriAbilities({ name, version, nriVersion })).to.deep.equal({ cdiVisible, canUpdate });
    });
  }
});
