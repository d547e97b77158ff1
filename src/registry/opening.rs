//! How a shared stream begins when its upstream answers, and how one goes on that was lost.

use std::sync::Arc;

use bytes::Bytes;
use http::response;
use tokio::sync::oneshot;

use super::{
    Joined,
    keeper::{Held, Keeper},
    lock,
    shared::{Answer, Asker, Live, Phase},
};
use crate::{
    body::Relay,
    head::{self, Head},
    id::{Asked, Generation, Position},
    pump::{Greeter, now, quiet},
    rules::Hello,
    window::{End, Gap, LiveWindow, Verdict, Window},
};

/// A stream that can be pumped.
pub(super) struct Opened {
    pub(super) live: Arc<Live>,
    pub(super) body: Relay,
    /// Where the connection before this one ended, if this one goes on behind it.
    pub(super) resumed: Option<Position>,
}

impl Keeper {
    /// The upstream has answered with a stream: those who wait are answered, and it can be pumped.
    pub(super) async fn opened(
        &mut self,
        asker: Option<Asker>,
        head: response::Parts,
        body: Relay,
    ) -> Opened {
        let (resumed, (live, body)) = match self.held.take() {
            Some(Held::Resumes(lost)) => {
                let end = lost.window.look(|window| window.tail());
                (Some(end), self.begins(lost.window.clone(), asker, head, body).await)
            }
            Some(Held::Breaks(lost)) => (None, self.breaks(lost, asker, head, body).await),
            None => {
                let window = self.new_window(self.registry.next_generation());
                (None, self.begins(window, asker, head, body).await)
            }
        };
        Opened { live, body, resumed }
    }

    /// The stream goes on with a new generation, and those who stayed are told so by the gap event and by the new
    /// connection's hello. Where there is neither they could not know, and are cut.
    async fn breaks(
        &mut self,
        lost: Arc<Live>,
        asker: Option<Asker>,
        head: response::Parts,
        mut body: Relay,
    ) -> (Arc<Live>, Relay) {
        let route = self.stream.standing.route();
        let generation = self.registry.next_generation();
        let mut said = None;
        if let Some(hello) = &route.rules.hello {
            (said, body) = self.said(hello, Position { generation, seq: 0 }, body).await;
        }
        let have = Asked::Ours(lost.window.look(|window| window.tail()));
        let notice = head::notice(&route, Gap::Generation, &have);
        // As lines between events: some of those who stay may stumble over more, and it means the same to the others.
        let said_to_all = said.as_deref().map(quiet);
        let told = notice.into_iter().chain(said_to_all).reduce(|one, two| [one, two].concat().into());
        let window = if told.is_some() {
            lost.window.write(|writer| writer.window().begin(generation, told, now()));
            lost.window.clone()
        } else {
            lost.window.end(End::Lost);
            self.new_window(generation)
        };
        let live = Arc::new(Live { window, head: Head::of(&head) });
        if let Some(asker) = asker {
            let (tell, spoken) = oneshot::channel();
            let _ = tell.send(said);
            let (answer, joined) = self.placed(asker, &live);
            let spoken = route.rules.hello.is_some().then_some(spoken);
            let _ = answer.send(Answer::Opened(Box::new(head), joined, spoken));
        }
        self.let_in(&live);
        (live, body)
    }

    fn new_window(&mut self, generation: Generation) -> LiveWindow {
        if let Phase::Down(lost) = &lock(&self.stream.state).phase {
            self.past = lost.window.look(Window::take_past);
        }
        let past = std::mem::take(&mut self.past);
        let window = Window::following(past, generation, self.stream.standing.route().window, now());
        let window = LiveWindow::new(window, self.registry.0.budget.clone(), None);
        self.registry.note_generation(self.stream.key, &self.stream.standing.route(), &window);
        window
    }

    /// Answers the asker, reads the connection's hello, and lets in those who wait in the line.
    async fn begins(
        &mut self,
        window: LiveWindow,
        asker: Option<Asker>,
        head: response::Parts,
        mut body: Relay,
    ) -> (Arc<Live>, Relay) {
        let live = Arc::new(Live { window, head: Head::of(&head) });
        let (tell, spoken) = oneshot::channel();
        let hello = self.stream.standing.route().rules.hello.clone();
        let mut fence = live.window.look(|window| window.tail());
        if let Some(asker) = asker {
            let (answer, joined) = self.placed(asker, &live);
            // It is the asker who is told the hello, and before what is replayed to it.
            fence = joined.cursor.fence();
            let spoken = hello.is_some().then_some(spoken);
            let _ = answer.send(Answer::Opened(Box::new(head), joined, spoken));
        }
        if let Some(hello) = &hello {
            let said;
            (said, body) = self.said(hello, fence, body).await;
            let _ = tell.send(said);
        }
        self.let_in(&live);
        (live, body)
    }

    /// The stream is live: those who wait in the line join it.
    fn let_in(&self, live: &Arc<Live>) {
        let mut state = lock(&self.stream.state);
        state.turn(Phase::Live(live.clone()));
        let line = std::mem::take(&mut state.line);
        drop(state);
        // Its bounds may have become others while nobody could find it.
        live.window.rebound(|| self.stream.standing.route().window, now());
        for asker in line {
            let (answer, joined) = self.placed(asker, live);
            let _ = answer.send(Answer::Live(live.clone(), joined));
        }
    }

    /// The place of one who waited: the one that it was given when it came, if that is in this window, else the
    /// generation's first. A new client of a generation that is over is one of the next.
    fn placed(&self, asker: Asker, live: &Live) -> (oneshot::Sender<Answer>, Joined) {
        let goes_on = |joined: &Joined| {
            let resumed = matches!(joined.verdict, Verdict::Resumed { .. });
            joined.cursor.window().is(&live.window) && (resumed || joined.cursor.is_current())
        };
        let joined = match asker.joined {
            Some(joined) if goes_on(&joined) => joined,
            _ => {
                let verdict = match asker.verdict {
                    Verdict::Fresh => Verdict::Fresh,
                    _ => Verdict::Gap(Gap::Generation),
                };
                let (_, cursor) = live.window.attach(&Asked::Nothing, now());
                Joined::new(verdict, cursor, self.stream.standing.route().on_gap)
            }
        };
        (asker.answer, joined)
    }

    /// Reads the hello of the pump's connection.
    async fn said(&self, hello: &Hello, fence: Position, mut body: Relay) -> (Option<Bytes>, Relay) {
        let mut greeter = Greeter::new(hello, self.stream.standing.route().ids, self.registry.limits().event);
        greeter.read_in_time(&mut body, &self.metrics()).await;
        greeter.finish(fence, body)
    }
}
