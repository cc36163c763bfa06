import { dumpFailures } from "../kit/failures.ts";

// What failures.test.ts runs: a suite that fails in every way there is.
dumpFailures((title, cause) => {
  console.log(`dumped ${title}: ${cause?.message}`);
  return Promise.resolve();
});
const fails = (why: string) => (): void => {
  throw new Error(why);
};

describe("one", () => {
  before(fails("in before"));
  after(() => console.log("one is cleaned"));
  it("is never run", () => {});
});
describe("two", () => {
  after(() => console.log("two is cleaned"));
  it("fails", fails("itself"));
  it("passes", () => {});
  describe("inner", () => {
    beforeEach(fails("in beforeEach"));
    it("is never run", () => {});
  });
});
