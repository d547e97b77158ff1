// Two EventSources, and what each received. Everything shown is worked out here, from the numbers that came.

const ROW = 10; // Numbers of a row of the list; where there is less room, half of it.
const SHOWN = 400; // Numbers that the list keeps.
const REMEMBERED = 10_000; // Missing numbers that are kept, to tell one that comes late from one that comes twice.
const SAID_EVERY = 5_000; // Milliseconds from one announcement to the next.
const GONE_AFTER = 8_000; // Milliseconds without either connection, after which the demo itself is likely to be gone.

class Column {
  received = 0;
  repeated = 0;
  late = 0;
  missing = 0;
  last = null;
  holes = new Set();
  losses = 0;
  open = false;
  marks = new Map();

  constructor(id, name, onChange) {
    this.name = name;
    this.onChange = onChange;
    this.section = document.getElementById(id);
    this.list = this.section.querySelector("ol");
    this.list.addEventListener("scroll", () => this.watchScroll());
    this.follows = true;
  }

  connect() {
    const source = new EventSource(`http://${location.hostname}:${this.section.dataset.port}/events`);
    source.onopen = () => this.link(true, "connected");
    source.onerror = () => {
      this.losses += this.open ? 1 : 0;
      const back = source.readyState === EventSource.CONNECTING;
      this.link(false, back ? "lost, coming back" : "refused for good");
    };
    source.onmessage = (event) => this.receive(JSON.parse(event.data).n);
  }

  link(open, words) {
    this.open = open;
    this.section.classList.toggle("open", open);
    this.section.querySelector(".link").textContent = words;
    this.onChange();
  }

  receive(n) {
    this.received += 1;
    if (this.last === null || n > this.last) {
      if (this.last !== null) {
        this.pass(this.last + 1, n);
      }
      this.last = n;
      this.mark(n, "got");
    } else if (this.holes.delete(n)) {
      this.missing -= 1;
      this.late += 1;
      this.mark(n, "repeated", "late");
    } else {
      this.repeated += 1;
      this.mark(n, "repeated", "repeated");
    }
    this.onNumber?.(n);
    this.show();
  }

  // The numbers from `from` up to `to` did not come, and later ones did.
  pass(from, to) {
    this.missing += to - from;
    for (let n = Math.max(from, to - SHOWN); n < to; n += 1) {
      this.holes.add(n);
      this.mark(n, "missing", "missing");
      this.onHole?.(n);
    }
    for (const n of this.holes) {
      if (this.holes.size <= REMEMBERED) break;
      this.holes.delete(n);
    }
  }

  mark(n, kind, words) {
    const item = document.createElement("li");
    item.className = kind;
    item.dataset.n = n;
    item.textContent = n;
    if (words) item.append(hidden(` ${words}`));
    if (!this.list.hasChildNodes()) {
      // A number has the same place in its row on both sides.
      item.style.setProperty("--at", ((n - 1) % ROW) + 1);
      item.style.setProperty("--at-half", ((n - 1) % (ROW / 2)) + 1);
    }
    this.list.append(item);
    this.marks.set(n, item);
    this.trim();
  }

  // Drops whole rows, so that what stays keeps its place.
  trim() {
    if (this.list.childElementCount <= SHOWN + ROW) return;
    do {
      const first = this.list.firstElementChild;
      if (this.marks.get(Number(first.dataset.n)) === first) this.marks.delete(Number(first.dataset.n));
      first.remove();
    } while ((Number(this.list.firstElementChild.dataset.n) - 1) % ROW !== 0);
  }

  // This number was received here, and is missing on the other side.
  keep(n) {
    const item = this.marks.get(n);
    if (item?.className === "got") {
      item.className = "kept";
      item.append(hidden(" missing on the left"));
    }
  }

  words() {
    const late = this.late > 0 ? `, ${this.late} out of order` : "";
    return `${this.received} received, ${this.missing} missing, ${this.repeated} repeated${late}`;
  }

  show() {
    // A number and its word stay on one line.
    this.section.querySelector(".words").textContent = this.words().replaceAll(/(\d) /g, "$1\u00a0");
    this.section.classList.toggle("faulty", this.missing + this.repeated + this.late > 0);
    if (this.follows) this.list.scrollTop = this.list.scrollHeight;
  }

  // Whoever scrolls up to look at something is left there.
  watchScroll() {
    this.follows = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
  }
}

function hidden(text) {
  const span = document.createElement("span");
  span.className = "hidden";
  span.textContent = text;
  return span;
}

function times(count) {
  return count === 1 ? "once" : `${count} times`;
}

const button = document.getElementById("cut");
const network = document.getElementById("network");
let apartSince = performance.now();

function showNetwork() {
  const cut = !left.open && !right.open;
  if (!cut) apartSince = null;
  else apartSince ??= performance.now();
  const gone = cut && performance.now() - apartSince > GONE_AFTER;
  const losses = Math.max(left.losses, right.losses);
  let words = losses > 0 ? `Connected again; cut ${times(losses)} so far.` : "Connected.";
  if (!left.open || !right.open) words = losses > 0 ? "Cut: both are trying to come back." : "Connecting.";
  if (left.open !== right.open) words = "One is back, the other is about to be.";
  if (gone) words = "Nobody answers: has the demo ended?";
  if (network.textContent !== words) network.textContent = words;
  document.body.classList.toggle("cut", cut && losses > 0);
}

const left = new Column("direct", "Direct", showNetwork);
const right = new Column("respool", "Through respool", showNetwork);
left.onHole = (n) => right.keep(n);
right.onNumber = (n) => left.holes.has(n) && right.keep(n);

button.addEventListener("click", async () => {
  try {
    const answer = await fetch("/cut", { method: "POST" });
    await answer.text(); // An answer that nobody reads is never over.
  } catch {
    network.textContent = "Nobody answers: has the demo ended?";
  }
});

const said = document.getElementById("said");
setInterval(() => {
  said.textContent = [left, right].map((column) => `${column.name}: ${column.words()}.`).join(" ");
}, SAID_EVERY);
setInterval(showNetwork, 1_000);

left.connect();
right.connect();
