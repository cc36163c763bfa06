import { rightsOf } from "./rights.ts";
import { world } from "./suite.ts";

describe("the driver's rights, with the token of its own pod", function () {
  this.timeout(60_000);
  rightsOf(world);
});
