import { expect } from "chai";
import { parseDocument } from "yaml";
import { flatMapping } from "../../src/settings/flat.ts";

/** Pieces that mean something in YAML, and some that do not. */
const PIECES = [
  ...[
    "a",
    "Z",
    "key",
    "true",
    "False",
    "NULL",
    "yes",
    "x1",
    "_",
    "0",
    "7",
    "12",
    "007",
    "0x1f",
    "1e5",
    "1.5",
    "-1",
    ".inf",
  ],
  ...[
    ": ",
    ":",
    " ",
    "  ",
    "\n",
    "\n\n",
    "- ",
    "-",
    ",",
    "/",
    ".",
    "#",
    " #",
    '"',
    "'",
    "\\",
    "\\n",
    "~",
    "*",
    "&",
    "!",
    "|",
    ">",
  ],
  ...[
    "{",
    "}",
    "[",
    "]",
    "%",
    "@",
    "`",
    "?",
    "<<",
    "---",
    "...",
    "\t",
    "\r\n",
    "é",
    "=",
    "+",
    "2001-01-01",
    "0-3",
    "0,64",
  ],
];

/** The same ones each time (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

describe("a flat configuration file", () => {
  it("is read as helm writes it", () => {
    const text = `agentSocket: /run/dra-driver-cpu/control/control.sock
bindAddress: :8081
# of the site
cpuDeviceMode: grouped
dropped: ""
foreignLoad: 20
hostProc: "0"
keepShared: 0-1,64-65
nodeName: node-1.example.org
pageAddress: 127.0.0.1:8083
publish: false
`;
    expect(flatMapping(text)).to.deep.equal({
      agentSocket: "/run/dra-driver-cpu/control/control.sock",
      bindAddress: ":8081",
      cpuDeviceMode: "grouped",
      dropped: "",
      foreignLoad: 20,
      hostProc: "0",
      keepShared: "0-1,64-65",
      nodeName: "node-1.example.org",
      pageAddress: "127.0.0.1:8083",
      publish: false,
    });
  });

  it("means what it means in YAML, whatever it is, or is left to YAML's reader", () => {
    const next = random(1);
    const pick = (): string => PIECES[Math.floor(next() * PIECES.length)] ?? "";
    let read = 0;
    for (let n = 0; n < 60_000; n++) {
      const some = (most: number): string => Array.from({ length: 1 + Math.floor(next() * most) }, pick).join("");
      const key = (): string => (next() < 0.5 ? some(1) : "kl".charAt(next() * 2));
      const text = next() < 0.2 ? some(8) : Array.from({ length: 2 }, () => `${key()}: ${some(3)}\n`).join("");
      const found = flatMapping(text);
      if (found === undefined) continue;
      read++;
      const document = parseDocument(text, { uniqueKeys: true });
      expect(document.errors, JSON.stringify(text)).to.deep.equal([]);
      expect(found, JSON.stringify(text)).to.deep.equal(document.toJS() ?? {});
    }
    expect(read).to.be.above(300);
  });
});
