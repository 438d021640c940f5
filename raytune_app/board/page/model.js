// A study as the page holds it: one object a trial, made from columns, of which some are replaced as the study goes on.

export class Study {
  /** Takes what the server sends for a study, or what a frozen page has in it. */
  constructor(content) {
    this.trials = new Map();
    this.slots = [];
    this.version = 0;
    this.merge(content);
  }

  /** Replace the trials that are in `content`, add the new ones, and take its head. */
  merge(content) {
    this.head = content.head;
    this.stamp = content.stamp;
    this.slots = content.columns.slots;
    for (const trial of unpacked(content.columns)) this.trials.set(trial.number, trial);
    this.version += 1;
    this.ranking = null;
  }

  get objective() {
    return this.head.objectives[0];
  }

  /** +1 if a larger value of this metric is better, -1 if a smaller one is. */
  sign(metric = this.objective.metric) {
    const found = this.head.objectives.find((objective) => objective.metric === metric);
    return found ? (found.mode === "max" ? 1 : -1) : -1;
  }

  get all() {
    return [...this.trials.values()];
  }

  /** Trials of the search that have a score, best first. */
  get ranked() {
    if (!this.ranking) {
      const sign = this.sign();
      this.ranking = this.all
        .filter((trial) => trial.best !== null && trial.role === "search" && trial.state !== "diverged")
        .sort((one, other) => sign * (other.best - one.best) || one.number - other.number);
    }
    return this.ranking;
  }

  /** The trial of the search that won, or leads; null before the first score. */
  get leader() {
    const winner = this.head.winner;
    const won = winner && this.head.state !== "running" ? this.trials.get(winner.search_trial ?? winner.trial) : null;
    return won ?? this.ranked[0] ?? null;
  }

  /** How many trials there are in each state. */
  get counts() {
    const counts = {};
    for (const trial of this.trials.values()) counts[trial.state] = (counts[trial.state] ?? 0) + 1;
    return counts;
  }

  /** The settings that trials have, searched ones first. */
  get paths() {
    const known = new Set(this.head.domains);
    for (const trial of this.trials.values()) for (const path of Object.keys(trial.config)) known.add(path);
    return [...known];
  }

  /** The best so far by epochs trained and by seconds: [{ epochs, at, best, trial }], one entry each time it rises. */
  get record() {
    const metric = this.objective.metric;
    const sign = this.sign();
    const rows = [];
    for (const trial of this.trials.values()) {
      if (trial.role !== "search" || trial.state === "diverged") continue;
      trial.values[metric].forEach((value, index) => rows.push({ at: trial.at[index], value, trial }));
    }
    rows.sort((one, other) => one.at - other.at);
    const record = [];
    rows.forEach(({ at, value, trial }, index) => {
      if (value !== null && (!record.length || sign * value > sign * record.at(-1).best)) {
        record.push({ epochs: index + 1, at, best: value, trial: trial.number });
      }
    });
    const last = rows.at(-1);
    if (record.length && last) record.push({ ...record.at(-1), epochs: rows.length, at: last.at });
    return record;
  }
}

/** One object a trial, with its share of the epochs. */
function unpacked(columns) {
  const { trials, epochs, config } = columns;
  const names = Object.keys(trials);
  const found = [];
  const owner = [];
  let first = 0;
  for (let index = 0; index < (trials.number?.length ?? 0); index += 1) {
    const trial = { config: {}, values: {}, rungs: [], stints: [] };
    for (const name of names) trial[name] = trials[name][index];
    for (const path of Object.keys(config)) if (config[path][index] !== null) trial.config[path] = config[path][index];
    const end = first + trial.epochs;
    const part = (column) => (column ? column.slice(first, end) : null);
    trial.epoch = part(epochs.epoch) ?? Array.from({ length: trial.epochs }, (_, epoch) => epoch + 1);
    trial.at = part(epochs.at);
    trial.took = part(epochs.took);
    trial.slot = part(epochs.slot);
    for (const metric of Object.keys(epochs.values)) trial.values[metric] = part(epochs.values[metric]);
    owner.push({ first, end, trial });
    found.push(trial);
    first = end;
  }
  addRungs(columns.rungs, owner);
  const byNumber = new Map(found.map((trial) => [trial.number, trial]));
  columns.stints.trial.forEach((number, index) => {
    const stint = {};
    for (const name of Object.keys(columns.stints)) stint[name] = columns.stints[name][index];
    byNumber.get(number)?.stints.push(stint);
  });
  return found;
}

function addRungs(rungs, owner) {
  let place = 0;
  rungs.index.forEach((index, entry) => {
    while (index >= owner[place].end) place += 1;
    owner[place].trial.rungs.push({ rung: rungs.rung[entry], decision: rungs.decision[entry], index: index - owner[place].first });
  });
}
