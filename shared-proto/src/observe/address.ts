/** @returns `undefined` for what is no `[HOST]:PORT`. */
export function addressOf(address: string): { readonly host: string; readonly port: number } | undefined {
  const m = /^(.*):(\d{1,5})$/.exec(address);
  const port = Number(m?.[2]);
  return m === null || port > 65_535 ? undefined : { host: (m[1] ?? "").replace(/^\[|\]$/g, ""), port };
}

/** @returns a sentence for what is neither an address to listen on, nor empty. */
export function noAddress(address: string): string | undefined {
  if (address === "" || addressOf(address) !== undefined) return undefined;
  return `${JSON.stringify(address)} is no address; wanted is [HOST]:PORT with a port up to 65535, such as :8080`;
}
