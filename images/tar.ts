export interface Member {
  /** Without a leading slash; a directory ends with one. */
  readonly name: string;
  readonly mode: number;
  /** File, symbolic link, directory. */
  readonly type: "0" | "2" | "5";
  readonly data?: Buffer;
  readonly link?: string;
}

/** A ustar archive (POSIX.1-1988), owner 0, time 0: the same bytes for the same members. */
export function tar(members: readonly Member[]): Buffer {
  const blocks: Buffer[] = [];
  for (const member of members) {
    const data = member.data ?? Buffer.alloc(0);
    const header = Buffer.alloc(512);
    const put = (text: string, at: number): number => header.write(text, at, "ascii");
    const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, "0")}\0`;
    if (member.name.length > 100) throw new Error(`Cannot archive ${member.name}: its name is longer than 100 bytes`);
    put(member.name, 0);
    put(octal(member.mode, 8), 100);
    put(octal(0, 8), 108);
    put(octal(0, 8), 116);
    put(octal(data.length, 12), 124);
    put(octal(0, 12), 136);
    put("        ", 148);
    put(member.type, 156);
    put(member.link ?? "", 157);
    put("ustar\x0000", 257);
    put(
      octal(
        header.reduce((sum, byte) => sum + byte, 0),
        7,
      ),
      148,
    );
    blocks.push(header, data, Buffer.alloc((512 - (data.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}
