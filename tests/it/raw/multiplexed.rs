//! Each row of what HTTP/2 gets that breaks its rules, before respool.

use std::collections::BTreeMap;

use tokio::time::{Duration, timeout};

use super::{
    malformed::{BEHIND, BESIDE, Gets, Row, STREAM, before, behind, rows},
    recorder::{Recorder, Seen},
    spoken::{Said, Spoken},
};
use crate::support::{Binary, moment, within};

/// What became of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Became {
    Answered(u16),
    Ended(u16),
    Reset(u32),
}

/// What became of a connection, as its client saw it.
#[derive(Default, Debug)]
struct Seer {
    streams: BTreeMap<u32, Became>,
    is_ended: bool,
}

impl Seer {
    fn see(&mut self, said: Option<&Said>) {
        match said {
            None => self.is_ended = true,
            Some(Said::GoAway(_, code)) => self.is_ended |= *code != 0,
            Some(Said::Status(stream, status)) => {
                self.streams.insert(*stream, Became::Answered(*status));
            }
            Some(Said::End(stream)) => {
                if let Some(Became::Answered(status)) = self.streams.get(stream).copied() {
                    self.streams.insert(*stream, Became::Ended(status));
                }
            }
            // After its answer, it says that no more of the body is wanted.
            Some(Said::Reset(stream, code))
                if !matches!(self.streams.get(stream), Some(Became::Ended(_))) =>
            {
                self.streams.insert(*stream, Became::Reset(*code));
            }
            Some(Said::Reset(..) | Said::Other(_)) => {}
        }
    }

    fn is_over(&self, stream: u32) -> bool {
        matches!(self.streams.get(&stream), Some(Became::Ended(_) | Became::Reset(_)))
    }

    /// What is told of a stream that this says.
    fn fits(&self, gets: Gets) -> bool {
        let became = self.streams.get(&STREAM).copied();
        match gets {
            Gets::Ended | Gets::EndedBehind => self.is_ended,
            Gets::Reset => matches!(became, Some(Became::Reset(_))),
            Gets::Status(status) => became == Some(Became::Ended(status)),
            Gets::Passes(_) => became == Some(Became::Ended(200)),
            Gets::Nothing => became.is_none(),
        }
    }
}

/// Reads until all is said that is waited for.
async fn seen(client: &mut Spoken, row: &Row) -> Seer {
    let mut seer = Seer::default();
    let waits = !matches!(row.gets, Gets::Nothing);
    let all = async {
        while !(seer.is_ended
            || seer.is_over(BESIDE) && seer.is_over(BEHIND) && (!waits || seer.is_over(STREAM)))
        {
            let said = client.next().await;
            seer.see(said.as_ref());
        }
    };
    // Something else than was expected may never come.
    let _ = timeout(Duration::from_secs(3), all).await;
    seer
}

/// What the upstream has of a row alone. What was begun and never ended is no request; it may come late, too.
fn of_it(seen: &[Seen]) -> Vec<String> {
    let meaning = |seen: &Seen| match seen {
        Seen::Whole(request, _) => Some(request.meaning("own")),
        Seen::Torn(_) => None,
        Seen::Wrong(wrong) => Some(wrong.clone()),
    };
    let others = ["POST /beside | \"ok\"", "GET /behind"];
    seen.iter().filter_map(meaning).filter(|what| !others.contains(&what.as_str())).collect()
}

async fn judged(binary: &Binary, upstream: &Recorder, row: &Row) -> Result<(), String> {
    let mut client = if row.is_first {
        let mut client = Spoken::silent(binary.address).await;
        client.send(row.sent.clone()).await;
        client
    } else {
        let mut client = Spoken::begin(binary.address).await;
        client.send([before(), row.sent.clone(), behind()].concat()).await;
        client
    };
    let seer = seen(&mut client, row).await;
    if row.gets == Gets::EndedBehind {
        moment().await;
    }
    let had = upstream.take();
    let has = |path: &str| {
        had.iter().any(|seen| matches!(seen, Seen::Whole(request, _) if request.target() == path))
    };
    let others = [has("/beside"), has("/behind")];
    let had = of_it(&had);
    let passed = match row.gets {
        Gets::Passes(passes) => had == [passes],
        Gets::EndedBehind => had.iter().all(|what| what == "GET /x"),
        _ => had.is_empty(),
    };
    let is_ended = matches!(row.gets, Gets::Ended | Gets::EndedBehind);
    let goes_on = is_ended || !seer.is_ended && others == [true, true];
    if passed && goes_on && seer.fits(row.gets) {
        return Ok(());
    }
    Err(format!("{seer:?}; the upstream has {had:?}, and of others {others:?}"))
}

#[tokio::test]
async fn what_breaks_the_rules_of_http_2_is_refused_and_harms_no_other_stream() {
    within(async {
        let upstream = Recorder::start().await;
        let binary = Binary::to(upstream.address).await;
        let rows = rows();
        assert!(rows.len() >= 100);
        let mut wrong = Vec::new();
        for row in &rows {
            if let Err(what) = judged(&binary, &upstream, row).await {
                wrong.push(format!("{}: wanted {:?}, got {what}", row.name, row.gets));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        // Nothing comes late.
        moment().await;
        assert!(of_it(&upstream.take()).is_empty());
        assert!(!binary.log().contains("panicked"), "{}", binary.log());
    })
    .await;
}

/// The page has each row, as it is here. `RESPOOL_ACCEPT=1` writes it there.
#[test]
fn the_page_says_what_each_breach_of_http_2_gets() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/docs/attacks.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let rows = rows()
        .iter()
        .fold(String::new(), |all, row| all + &format!("| {} | {} |\n", row.name, row.gets.said()));
    let table = format!("| by HTTP/2 | what it gets |\n| --- | --- |\n{rows}");
    if std::env::var_os("RESPOOL_ACCEPT").is_some() {
        let (before, rest) = page.split_once("| by HTTP/2 |").unwrap();
        let behind = rest.split_once("\n\n").map_or(String::new(), |(_, behind)| format!("\n{behind}"));
        std::fs::write(path, format!("{before}{table}{behind}")).unwrap();
    } else {
        assert!(page.contains(&table), "another table: RESPOOL_ACCEPT=1 writes it");
    }
}
