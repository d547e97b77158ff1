// For clients that do not come back by themselves, or without the last id: a `fetch` for them that does.

const PAUSE = 100;
const TRIES = 100;

const streams = (answer) => answer.status === 200 && /^text\/event-stream\b/.test(answer.headers.get("content-type"));

/** As `fetch`; but where the answer is an event stream, a cut does not show, as long as respool has what was missed. */
export async function resuming(input, init = {}) {
  const answer = await fetch(input, init);
  if (!streams(answer)) return answer;
  const { status, headers } = answer;
  return new Response(streamed(whole(input, init, answer)), { status, headers });
}

/** As `ReadableStream.from`, which not every Node has. */
function streamed(pieces) {
  const pull = async (controller) => {
    const { value, done } = await pieces.next();
    if (done) controller.close();
    else controller.enqueue(value);
  };
  return new ReadableStream({ pull, cancel: () => pieces.return() });
}

/** The frames of an answer, and of those that go on where the one before was cut. */
async function* whole(input, init, answer) {
  const encoder = new TextEncoder();
  for (let id; ; ) {
    let rest = "";
    try {
      for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
        // What has no blank line behind it may be torn: it will come again.
        const [frames] = /^[^]*\n\r?\n/.exec(rest + piece) ?? [""];
        rest = (rest + piece).slice(frames.length);
        id = [...frames.matchAll(/^id: ?(.+?)\r?$/gm)].at(-1)?.[1] ?? id;
        if (frames) yield encoder.encode(frames);
      }
      return;
    } catch (cut) {
      if (!id || init.signal?.aborted) throw cut;
      answer = await again(input, init, id);
      // What it would read now is not what it has missed.
      if (!/^resumed/.test(answer.headers.get("respool-resume"))) throw cut;
    }
  }
}

/** Asks the same with the last id, until there is an answer. */
async function again(input, init, id) {
  const headers = new Headers(init.headers);
  headers.set("last-event-id", id);
  for (let tries = 1; ; tries++) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    try {
      return await fetch(input, { ...init, headers });
    } catch (error) {
      if (tries === TRIES || init.signal?.aborted) throw error;
    }
  }
}
