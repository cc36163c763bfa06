import { kernelFiles, type Kernel } from "./image.ts";

export interface Shape {
  /** qemu's -smp. A die has one L3 cache. */
  readonly smp: string;
  /** CPUs of each NUMA node, as `0-7`. */
  readonly numa: readonly string[];
  readonly memoryMB: number;
}

/** 16 CPUs on 2 sockets, which are NUMA nodes, with 2 L3 caches each; SMT 2: CPU 2n and CPU 2n+1 are one core. */
export const TWO_SOCKETS: Shape = {
  smp: "16,sockets=2,dies=2,cores=2,threads=2",
  numa: ["0-7", "8-15"],
  memoryMB: 4096,
};

export interface GuestMachine {
  readonly kernel: Kernel;
  readonly shape: Shape;
  /** `/dev/vda` and so on. What is written to a snapshot is gone with the guest. */
  readonly disks: readonly { readonly file: string; readonly mode: "snapshot" | "readonly" }[];
  /** Serial ports of that name with qemu's -chardev, without its id. */
  readonly ports: Readonly<Record<string, string>>;
  /** Megabytes for translated code, 512 by default. Where it is full, all of it is translated anew: a node's programs need three times that. */
  readonly translatedMB?: number;
  /** File of the kernel's console. */
  readonly console: string;
  /** More of qemu's options. */
  readonly more?: readonly string[];
}

/** Program and arguments of a machine in software: no root, no KVM. */
export function qemuCommand(machine: GuestMachine): string[] {
  const { vmlinuz, initrd } = kernelFiles(machine.kernel);
  const { smp, numa, memoryMB } = machine.shape;
  return [
    "qemu-system-x86_64",
    ...["-accel", `tcg,thread=multi,tb-size=${machine.translatedMB ?? 512}`, "-M", "q35", "-cpu", "Skylake-Server"],
    ...["-smp", smp, "-m", `${memoryMB}M`],
    ...numa.flatMap((cpus, n) => [
      ...["-object", `memory-backend-ram,id=m${n},size=${memoryMB / numa.length}M`],
      ...["-numa", `node,nodeid=${n},memdev=m${n},cpus=${cpus}`],
    ]),
    ...(numa.length === 2 ? ["-numa", "dist,src=0,dst=1,val=21"] : []),
    ...["-kernel", vmlinuz, "-initrd", initrd, "-append"],
    // One CPU boots, and the guest's init brings the others: while it boots the kernel patches its own code again and again, and the emulator does not
    // always keep what other processors translated of it in order ("Oops: int3").
    "maxcpus=1 noreplace-smp console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 nowatchdog rcupdate.rcu_expedited=1 tsc=reliable clocksource=tsc",
    ...machine.disks.flatMap(({ file, mode }, n) => [
      ...["-drive", `file=${file},if=none,id=d${n},format=raw,${mode}=on`],
      ...["-device", `virtio-blk-pci,drive=d${n}`],
    ]),
    ...["-device", "virtio-serial-pci"],
    ...Object.entries(machine.ports).flatMap(([name, device]) => {
      const [backend = "", ...rest] = device.split(",");
      return [
        ...["-chardev", [backend, `id=${name}`, ...rest].join(",")],
        ...["-device", `virtserialport,chardev=${name},name=${name}`],
      ];
    }),
    ...["-nographic", "-nodefaults", "-no-reboot", "-serial", `file:${machine.console}`],
    ...(machine.more ?? []),
  ];
}
