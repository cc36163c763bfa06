import type { GuestShell } from "../kit/guestnode/shell.ts";

const HERE = "/tmp/steady";

/** Script for a guest: where these containers are, and how to look at them. */
function prepare(ids: readonly string[]): string {
  const found = ids.map((id, n) => `d${n}=$(find /sys/fs/cgroup/kubepods -type d -name ${id})`);
  return `allowed() { while read -r key list; do [ "$key" = Cpus_allowed_list: ] && echo "$list"; done </proc/$1/status; }
${found.join("\n")}`;
}

/** Sets `line`: of each container the type of its partition and the mask of its first process, then the mask of the guest's own. */
function look(ids: readonly string[]): string {
  const each = ids.map(
    (_, n) => `read -r type <$d${n}/cpuset.cpus.partition; read -r pid <$d${n}/cgroup.procs
line="$line$type $(allowed $pid), "`,
  );
  return ["line=", ...each, 'line="$line$(allowed 1)"'].join("\n");
}

/** What the kernel says of containers, and of the node's own processes, now: `root 1-4, member 0,5-15, 0,5-15`. */
export async function placesOf(shell: GuestShell, ids: readonly string[]): Promise<string> {
  return (await shell.run(`${prepare(ids)}\n${look(ids)}\necho "$line"`)).trim();
}

/** Looks at containers some times a second, from inside the guest. @returns what ends it, and gives all that was seen, in its order; what stays is there once. */
export async function watchPlaces(shell: GuestShell, ids: readonly string[]): Promise<() => Promise<string[]>> {
  await shell.run(`touch ${HERE}; : >${HERE}.seen
(last=
${prepare(ids)}
while [ -e ${HERE} ]; do
${look(ids)}
[ "$line" = "$last" ] || echo "$line" >>${HERE}.seen
last=$line; sleep 0.2
done
touch ${HERE}.over) >/dev/null 2>&1 3>&- &`);
  return async () => {
    const text = await shell.run(
      `rm ${HERE}; until [ -e ${HERE}.over ]; do sleep 0.1; done; rm ${HERE}.over; cat ${HERE}.seen`,
    );
    return text.split("\n").filter((line) => line !== "");
  };
}

/** Script for a guest: what is on it of this product, a line each: files; cgroups that are more than a member, or have CPUs to themselves. */
export const TRACES = `find /var/lib/dra-driver-cpu /run/dra-driver-cpu /var/lib/kubelet/plugins/dra.cpu /var/lib/kubelet/plugins_registry /run/cdi \\
  -not -type d 2>/dev/null
for p in $(find /sys/fs/cgroup/kubepods* -name cpuset.cpus.partition); do
type=$(cat "$p"); [ "$type" = member ] || echo "\${p%/*}: $type"
list=$(cat "\${p%partition}exclusive"); [ "$list" = "" ] || echo "\${p%/*}: exclusive $list"; done
true`;
