// Where the page gets its studies from: the board's server.

/** What a person can be told: `message`, and `remedy`, what to do about it. */
export class Problem extends Error {
  constructor(message, remedy) {
    super(message);
    this.remedy = remedy;
  }
}

const part = encodeURIComponent;

export class Live {
  isFrozen = false;

  /** All studies of the storage, newest first. */
  async studies() {
    return asked("/api/studies");
  }

  /** One study with all its trials. */
  async study(id) {
    return asked(`/api/studies/${part(id)}`);
  }

  /** Everything about one trial. */
  async trial(id, number) {
    return asked(`/api/studies/${part(id)}/trials/${number}`);
  }

  /** Titles of the figures that a study has, by name. */
  async figures(id) {
    return asked(`/api/studies/${part(id)}/figures`);
  }

  /** A figure: { title, said, figure }. */
  async figure(id, name, choice) {
    return asked(`/api/studies/${part(id)}/figures/${part(name)}?${new URLSearchParams(choice)}`);
  }

  /** Call `onNews` with what is new, and `onLine(isThere)` as the board or its storage goes and comes; returns what ends it. */
  follow(id, stamp, onNews, onLine) {
    const events = new EventSource(`/api/studies/${part(id)}/events?since=${part(stamp)}`);
    events.onmessage = (event) => {
      onLine(true);
      onNews(JSON.parse(event.data));
    };
    events.onopen = () => onLine(true);
    events.onerror = () => onLine(false, events.readyState === EventSource.CLOSED ? "The board no longer tells what is new. Reload this page." : null);
    events.addEventListener("well", () => onLine(true));
    events.addEventListener("problem", (event) => onLine(false, JSON.parse(event.data).error));
    return () => events.close();
  }
}

async function asked(url) {
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Problem("The board does not answer.", "Start it again with raytune board, then reload this page.");
  }
  if (answer.ok) return answer.json();
  const said = await answer.text();
  try {
    const { error, remedy } = JSON.parse(said);
    throw new Problem(error, remedy);
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(said || `The board answered ${answer.status}.`, "Reload this page.");
  }
}
