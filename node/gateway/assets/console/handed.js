// A statement that one part of the page hands to the editor. It never comes from the address: who follows a link of somebody else
// would run their statement.

let kept = null;

/** Goes to the editor with a statement, which is run there. */
export function handOver(statement) {
  kept = statement;
  location.hash = "#sql";
}

/** The statement, once. */
export function takeOver() {
  const statement = kept;
  kept = null;
  return statement;
}
