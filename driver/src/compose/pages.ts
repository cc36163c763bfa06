import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import type { Program } from "@dracpu/shared-proto/lifecycle/program.ts";
import { probe, readiness, servePages } from "@dracpu/shared-proto/observe/httpserver.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import type { DriverSettings } from "../config/settings.ts";
import type { DriverMetrics } from "../http/metrics.ts";
import { servePage } from "../page/serve.ts";
import type { Sight } from "./sight.ts";

/** Probes, metrics, and the page for people. @throws Error where the port of the probes is in use. */
export async function servePagesOf(
  program: Program,
  settings: DriverSettings,
  of: {
    readonly metrics: DriverMetrics;
    readonly sight: Sight;
    readonly log: LogWriter;
    problems(): readonly Finding[];
  },
): Promise<void> {
  const { metrics, sight, log, problems } = of;
  if (settings.bindAddress !== "") {
    program.onStop(
      await servePages(settings.bindAddress, {
        "/healthz": probe(() => []),
        "/readyz": readiness(problems),
        "/metrics": async () => ({
          status: 200,
          type: metrics.registry.contentType,
          body: await metrics.registry.metrics(),
        }),
      }),
    );
  }
  if (settings.pageAddress !== "")
    await servePage(settings.pageAddress, sight).then(
      (close) => program.onStop(close),
      // Claims do not wait for a picture of them.
      (cause: unknown) => log.warn("there is no page", { cause: (cause as Error).message }),
    );
}
